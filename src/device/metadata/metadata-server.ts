import { createServer, type IncomingMessage, type Server } from 'node:http';
import { answerMetadata, type MetadataRequest, type MetadataSources } from './answer.ts';

/** More than a form needs, and little memory for a device. */
const maxFormBytes = 64 << 10;
const formType = 'application/x-www-form-urlencoded';

/** The answer to a form that the server does not read. */
class UnreadableForm extends Error {
  readonly status: 413 | 415;
  constructor(status: 413 | 415, message: string) {
    super(message);
    this.status = status;
  }
}

/** An HTTP server that is not yet listening. Whatever a client sends, it costs bounded memory. */
export function metadataServer(sources: MetadataSources): Server {
  const server = createServer(
    { maxHeaderSize: 8 << 10, headersTimeout: 10_000, requestTimeout: 20_000, keepAliveTimeout: 5_000 },
    (incoming, response) => {
      const request: MetadataRequest = {
        method: incoming.method ?? '',
        target: incoming.url ?? '',
        form: () => readForm(incoming),
      };
      answerMetadata(request, sources)
        .catch((error: unknown) => {
          if (error instanceof UnreadableForm) {
            return { status: error.status, type: 'text/plain; charset=us-ascii', body: error.message };
          }
          process.stderr.write(`<3>${error instanceof Error ? error.message : String(error)}\n`);
          return { status: 500, type: 'text/plain; charset=us-ascii', body: 'the service failed' };
        })
        .then(
          ({ status, type, body }) => {
            response.writeHead(status, {
              'Content-Type': type,
              'Content-Length': Buffer.byteLength(body),
              // The rest of an unread form would be parsed as the next request.
              ...(incoming.complete ? {} : { Connection: 'close' }),
            });
            response.end(body);
          },
          () => response.destroy(),
        );
    },
  );
  // Twice the limit of one pod.
  server.maxConnections = 512;
  return server;
}

async function readForm(incoming: IncomingMessage): Promise<URLSearchParams> {
  const [type = ''] = (incoming.headers['content-type'] ?? '').split(';');
  if (type.trim().toLowerCase() !== formType) {
    throw new UnreadableForm(415, `expected a form of the type ${formType}`);
  }
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of incoming as AsyncIterable<Buffer>) {
    length += piece.length;
    if (length > maxFormBytes) throw new UnreadableForm(413, `a form has at most ${maxFormBytes} bytes`);
    pieces.push(piece);
  }
  return new URLSearchParams(Buffer.concat(pieces).toString('utf8'));
}
