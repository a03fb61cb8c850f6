import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type Clock, systemClock } from '../../core/ports/index.ts';
import { asLocalRefusal, isRefusal, Refusal, refusalCodes } from '../../core/refusal/index.ts';
import { type ApiRequest, carryOut } from './requests.ts';

const maxBodyBytes = 4096;
const maxConnections = 16;

/** The HTTP status of a refusal: by its code, or else by the class of that. */
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
}

/**
 * The local API, not yet listening. A connection carries one request, so the number of connections
 * bounds what is done at once. Whatever a client sends, it costs bounded memory and time.
 */
export function apiServer({ clock = systemClock, log }: ApiServerPorts): Server {
  const server = createServer(
    {
      maxHeaderSize: 8 << 10,
      headersTimeout: 10_000,
      requestTimeout: 20_000,
      connectionsCheckingInterval: 1000,
    },
    (incoming, response) => {
      const [path = '', query] = (incoming.url ?? '').split('?');
      const request: ApiRequest = {
        method: incoming.method ?? '',
        path,
        query: new URLSearchParams(query),
        body: () => readBody(incoming),
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
      carryOut(request, { clock, signal: gone.signal }).then(
        (value) => say(200, value),
        (error: unknown) => {
          const refusal = refusalOf(error, log);
          const [kind] = refusalCodes[refusal.code];
          const { code, message } = refusal;
          say(statuses[code] ?? statuses[kind] ?? 500, { error: { code, message } });
        },
      );
    },
  );
  server.maxConnections = maxConnections;
  server.maxRequestsPerSocket = 1;
  return server;
}

function refusalOf(error: unknown, log: (line: string) => void): Refusal {
  const refusal = asLocalRefusal(error, 'a file of the device');
  if (isRefusal(refusal)) return refusal;
  log(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return new Refusal('internal', 'internal error in wherry; see the journal of wherry-api and report it');
}

async function readBody(incoming: IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of incoming as AsyncIterable<Buffer>) {
    length += piece.length;
    if (length > maxBodyBytes) throw new Refusal('input-invalid', `a body has at most ${maxBodyBytes} bytes`);
    pieces.push(piece);
  }
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8'));
  } catch (cause) {
    throw new Refusal('input-invalid', 'the body is not JSON', { cause });
  }
}
