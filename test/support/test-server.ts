import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import type { Clock, Random } from '../../src/core/ports/index.ts';

export interface TestServer {
  readonly url: string;
  /** One request: path and Range header. */
  readonly requests: { path: string; range: string | undefined; ifRange: string | undefined }[];
  close(): Promise<void>;
}

/** A real server on loopback. */
export async function serve(
  handler: RequestListener,
  tls?: { key: string; cert: string },
): Promise<TestServer> {
  const requests: TestServer['requests'] = [];
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const ifRange = request.headers['if-range'];
    requests.push({
      path: request.url ?? '',
      range: request.headers.range,
      ifRange: typeof ifRange === 'string' ? ifRange : undefined,
    });
    handler(request, response);
  };
  const server = tls ? createSecureServer(tls, listener) : createServer(listener);
  await new Promise<void>((resolve) => (server as Server).listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Serves `content` with ranges, like a static web server. */
export function staticFile(content: Uint8Array, etag = '"v1"'): RequestListener {
  return (request, response) => {
    const from = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
    const ifRange = request.headers['if-range'];
    response.setHeader('etag', etag);
    if (from === undefined || (ifRange !== undefined && ifRange !== etag)) {
      response.writeHead(200, { 'content-length': content.length });
      response.end(content);
    } else if (Number(from) >= content.length) {
      response.writeHead(416, { 'content-range': `bytes */${content.length}` });
      response.end();
    } else {
      const range = `bytes ${from}-${content.length - 1}/${content.length}`;
      response.writeHead(206, {
        'content-range': range,
        'content-length': content.length - Number(from),
      });
      response.end(content.subarray(Number(from)));
    }
  };
}

/**
 * A clock on which short waits (between tries) pass at once and long ones (watching a sender) only
 * by `advance`.
 */
export class TestClock implements Clock {
  #nowMs = 0;
  readonly delays: number[] = [];
  readonly #waiting = new Set<{ at: number; wake: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    if (delayMs < longWaitMs) {
      this.delays.push(delayMs);
      return new Promise((resolve) => void setImmediate(resolve));
    }
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#waiting.delete(waiter);
        reject(signal?.reason as Error);
      };
      const wake = (): void => {
        signal?.removeEventListener('abort', abort);
        resolve();
      };
      const waiter = { at: this.#nowMs + delayMs, wake };
      this.#waiting.add(waiter);
      signal?.addEventListener('abort', abort);
    });
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    for (const waiter of this.#waiting) {
      if (waiter.at > this.#nowMs) continue;
      this.#waiting.delete(waiter);
      waiter.wake();
    }
  }
}

const longWaitMs = 60_000;
/** So long that only `advance` ends it. */
export const testWindowMs = 20 * longWaitMs;

export const steadyRandom: Random = { fraction: () => 1, bytes: (length) => new Uint8Array(length) };
