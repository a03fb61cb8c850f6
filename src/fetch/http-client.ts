import { Agent, request as plainRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import type { Agent as SecureAgent, request as SecureRequest } from 'node:https';
import type { Clock } from '../ports/index.ts';
import type { Authorize } from './credentials.ts';
import { DownloadError } from './download-error.ts';

export interface HttpClient {
  /**
   * One GET, redirects followed. The caller reads `body` to its end or destroys it.
   *
   * @param patienceMs how long the head of each answer may take
   * @throws DownloadError `download-failed` when no answer came or a redirect may not be followed
   */
  get(address: string, headers: OutgoingHttpHeaders, patienceMs: number): Promise<HttpResponse>;
  /** Closes idle connections. */
  close(): void;
}

export interface HttpResponse {
  readonly status: number;
  readonly body: IncomingMessage;
  /** The server that answered, without credentials and query: for messages. */
  readonly from: string;
}

export interface HttpClientOptions {
  readonly clock: Clock;
  /** Aborts whatever is under way. */
  readonly signal?: AbortSignal;
  /** PEM certificates to trust instead of the system's. */
  readonly ca?: string;
  /** Asked for each request, those of redirects too. */
  readonly authorize?: Authorize;
  /** Where to connect for a host and a port, in place of asking DNS, as curl's `--connect-to` does. */
  readonly connectTo?: (
    host: string,
    port: number,
  ) => { readonly host: string; readonly port: number } | undefined;
}

interface Secure {
  readonly agent: SecureAgent;
  readonly request: typeof SecureRequest;
}

/** How much of a body may wait to be read: twice what is read at a time, so that the network and we work together. */
export const bufferedBytes = 256 * 1024;

const connections = { keepAlive: true, maxSockets: 4, highWaterMark: bufferedBytes };
const maxRedirects = 5;
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * HTTP(S) over Node's own client: connections are kept for the next request, bodies come as the server stores them
 * (no content coding is asked for), TLS is loaded when the first https address is met.
 */
export function openHttpClient(options: HttpClientOptions): HttpClient {
  const agent = new Agent(connections);
  let secure: Promise<Secure> | undefined;

  const loadSecure = async (): Promise<Secure> => {
    const https = await import('node:https');
    const ca = options.ca === undefined ? {} : { ca: options.ca };
    return { agent: new https.Agent({ ...connections, ...ca }), request: https.request };
  };

  const exchange = async (
    url: URL,
    headers: OutgoingHttpHeaders,
    patienceMs: number,
  ): Promise<IncomingMessage> => {
    const stop = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
    const authorization = options.authorize?.(url);
    const instead = options.connectTo?.(
      url.hostname,
      Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
    );
    const settings = {
      method: 'GET',
      headers: {
        host: url.host,
        'accept-encoding': 'identity',
        ...headers,
        ...(authorization === undefined ? {} : { authorization }),
      },
      ...(instead === undefined
        ? {}
        : { hostname: instead.host, port: instead.port, servername: url.hostname }),
    };
    const tls = url.protocol === 'https:' ? await (secure ??= loadSecure()) : undefined;
    const response = new Promise<IncomingMessage>((resolve, reject) => {
      const sent = tls
        ? tls.request(url, { ...settings, agent: tls.agent })
        : plainRequest(url, { ...settings, agent });
      const giveUp = (): void => void sent.destroy(signal.reason as Error);
      signal.addEventListener('abort', giveUp, { once: true });
      sent.once('response', (message) => {
        // From here on the body's reader watches the time; only the caller's own signal still ends the exchange.
        signal.removeEventListener('abort', giveUp);
        const cut = (): void => void message.destroy(options.signal?.reason as Error);
        options.signal?.addEventListener('abort', cut, { once: true });
        message.once('close', () => options.signal?.removeEventListener('abort', cut));
        resolve(message);
      });
      sent.once('error', reject);
      if (signal.aborted) giveUp();
      else sent.end();
    });
    const timer = new AbortController();
    const late = options.clock.sleep(patienceMs, timer.signal).then(
      () => stop.abort(new Error(`no answer within ${Math.round(patienceMs / 1000)} s`)),
      () => undefined, // the answer was first
    );
    try {
      return await response;
    } finally {
      timer.abort();
      await late;
    }
  };

  return {
    async get(address, headers, patienceMs) {
      let url = parseAddress(address);
      for (let hop = 0; ; hop += 1) {
        const from = publicName(url);
        let message: IncomingMessage;
        try {
          message = await exchange(url, headers, patienceMs);
        } catch (cause) {
          options.signal?.throwIfAborted();
          throw new DownloadError('download-failed', `${from} cannot be reached: ${reasonOf(cause)}`, {
            resumable: true,
            cause,
          });
        }
        const status = message.statusCode ?? 0;
        if (!redirects.has(status)) return { status, body: message, from };
        message.destroy();
        if (hop === maxRedirects) {
          throw refusedRedirect(parseAddress(address), `more than ${maxRedirects} redirects`);
        }
        url = redirectTarget(url, message.headers.location);
      }
    },
    close() {
      agent.destroy();
      void secure?.then((tls) => tls.agent.destroy());
    },
  };
}

/** The address without what may be secret: user name, password, query. */
function publicName(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

function parseAddress(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new DownloadError('download-failed', 'an address of the image is neither http nor https', {
      resumable: false,
    });
  }
  return url;
}

/** Where a redirect leads. It never leaves TLS: whoever answers in plain text could send anything for ever. */
function redirectTarget(from: URL, location: string | undefined): URL {
  const to =
    location !== undefined && URL.canParse(location, from.href) ? new URL(location, from.href) : null;
  if (to?.protocol !== 'http:' && to?.protocol !== 'https:') {
    throw refusedRedirect(from, 'a redirect without an http or https address');
  }
  if (from.protocol === 'https:' && to.protocol === 'http:') {
    throw refusedRedirect(from, 'a redirect from https to http');
  }
  return to;
}

function refusedRedirect(from: URL, what: string): DownloadError {
  return new DownloadError('download-failed', `${publicName(from)} answered with ${what}`, {
    resumable: true,
  });
}

/** The innermost sentence of a network error; Node's happy-eyeballs errors have an empty message of their own. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  return error instanceof Error ? error.message : String(error);
}
