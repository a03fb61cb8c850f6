import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type Clock, systemClock } from '../../core/ports/index.ts';
import { asLocalRefusal, isRefusal, Refusal, refusalCodes } from '../../core/refusal/index.ts';
import { bodyOf } from './read-request.ts';
import { type LineStream, sendLines } from './line-stream.ts';
import { type ApiRequest, carryOut } from './requests.ts';

const maxBodyBytes = 4096;
const maxConnections = 16;
/** The limit for streamed answers, which leaves connections for other requests. */
const maxStreams = 8;

/** The HTTP status of a refusal: by its code, or else by the class of its code. */
const statuses: Readonly<Record<string, number>> = {
  'not-found': 404,
  'volume-in-use': 409,
  internal: 500,
  usage: 400,
  pod: 409,
  device: 503,
  answer: 504,
};

export interface ApiServerPorts {
  readonly clock?: Clock;
  /** One line for each request that may change something. */
  readonly log: (line: string) => void;
  /** How long a client may take to send a body. */
  readonly bodyWithinMs?: number;
}

/**
 * The local API, not yet listening. A connection carries one request, so the limit on connections
 * also limits concurrent work. Whatever a client sends, it costs bounded memory and time.
 */
export function apiServer({ clock = systemClock, log, bodyWithinMs = 20_000 }: ApiServerPorts): Server {
  let streams = 0;
  const server = createServer(
    {
      maxHeaderSize: 8 << 10,
      headersTimeout: 10_000,
      // The input of a program in an app may last as long as the program runs.
      requestTimeout: 0,
      connectionsCheckingInterval: 1000,
      requireHostHeader: false, // the host is not looked at
    },
    (incoming, response) => {
      const [path = '', query] = (incoming.url ?? '').split('?');
      const request: ApiRequest = {
        method: incoming.method ?? '',
        path,
        query: new URLSearchParams(query),
        body: () => readBody(incoming, bodyWithinMs),
        input: incoming,
      };
      const gone = new AbortController();
      response.once('close', () => gone.abort(new Error('the client is gone')));
      const say = (status: number, value: unknown): void => {
        const body = `${JSON.stringify(value)}\n`;
        if (request.method !== 'GET') log(`${request.method} ${request.path}: ${status}`);
        response.writeHead(status, {
          'Content-Type': 'application/json',
          'Content-Length': Buffer.byteLength(body),
          'Cache-Control': 'no-store',
          Connection: 'close',
        });
        response.end(body);
      };
      const failure = (error: unknown) => {
        const { code, message } = refusalOf(error, log);
        return { code, line: { error: { code, message } } };
      };
      carryOut(request, { clock, signal: gone.signal })
        .then(async (answer) => {
          if (typeof answer !== 'function') {
            say(200, answer);
            return;
          }
          if (streams >= maxStreams) {
            throw new Refusal(
              'device-unsupported',
              `${maxStreams} logs and programs in apps are followed already, which is the limit; end one`,
            );
          }
          streams++;
          if (request.method !== 'GET') log(`${request.method} ${request.path}: begins`);
          try {
            await sendLines(response, answer as LineStream, gone.signal, (error) => failure(error).line);
          } finally {
            streams--;
          }
        })
        .catch((error: unknown) => {
          const { code, line } = failure(error);
          const [kind] = refusalCodes[code];
          say(statuses[code] ?? statuses[kind] ?? 500, line);
        });
    },
  );
  server.on('clientError', ({ code }: NodeJS.ErrnoException, socket) => {
    // Not into the answer to a request whose body is not of HTTP.
    if (socket.writable && 'bytesWritten' in socket && socket.bytesWritten === 0)
      socket.write(answerTo(code));
    socket.destroy();
  });
  server.maxConnections = maxConnections;
  server.maxRequestsPerSocket = 1;
  return server;
}

/** The answer to what is not a request, by the code of Node for it. */
function answerTo(code: string | undefined): string {
  const [status, message] =
    code === 'HPE_HEADER_OVERFLOW'
      ? ['431 Request Header Fields Too Large', 'the headers take more than 8 KiB']
      : code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? ['408 Request Timeout', 'the headers took more than 10 s']
        : ['400 Bad Request', 'this is not a request of HTTP/1.1'];
  const body = `${JSON.stringify({ error: { code: 'input-invalid', message } })}\n`;
  return `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
}

function refusalOf(error: unknown, log: (line: string) => void): Refusal {
  const refusal = asLocalRefusal(error, 'a file of the device');
  if (isRefusal(refusal)) return refusal;
  log(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return new Refusal('internal', 'internal error in wherry; see the journal of wherry-api and report it');
}

async function readBody(incoming: IncomingMessage, withinMs: number): Promise<unknown> {
  const pieces: Buffer[] = [];
  const read = async (): Promise<void> => {
    let length = 0;
    for await (const piece of incoming as AsyncIterable<Buffer>) {
      length += piece.length;
      if (length > maxBodyBytes)
        throw new Refusal('input-invalid', `a body has at most ${maxBodyBytes} bytes`);
      pieces.push(piece);
    }
  };
  await within(withinMs, read());
  return bodyOf(Buffer.concat(pieces));
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new Refusal('input-invalid', `the body took more than ${ms / 1000} s`)),
      ms,
    );
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
