import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import type { Clock } from '../../core/ports/index.ts';
import { notYetValid } from '../../core/refusal/index.ts';
import { cappedPieceBytes } from './bandwidth-cap.ts';
import { Credentials } from './credentials.ts';
import { DownloadError } from './download-error.ts';
import { Routes, type Route, type RouteOptions } from './routes.ts';
import { isTransientStatus } from './response-range.ts';

export interface HttpClient {
  /**
   * One GET, redirects followed. The caller reads `body` to its end or destroys it.
   *
   * @param patienceMs how long the head of each answer may take
   * @throws DownloadError `download-failed` when no answer came, a redirect may not be followed, or
   *   server or proxy require (other) credentials
   */
  get(address: string, headers: OutgoingHttpHeaders, patienceMs: number): Promise<HttpResponse>;
  /**
   * One GET, for callers with their own rules: a redirect and 401 are answers like any other, and
   * the headers may contain an authorization.
   *
   * @param patienceMs how long the head may take, and each pause of the body
   * @throws DownloadError `download-failed` when no answer came, or the proxy requires (other)
   *   credentials
   */
  getOnce(address: string, headers: OutgoingHttpHeaders, patienceMs: number): Promise<HttpResponse>;
  /** Closes idle connections. */
  close(): void;
}

export interface HttpResponse {
  /** Never 407, the answer of a proxy itself; from `get` never 401. */
  readonly status: number;
  readonly body: IncomingMessage;
  /** The server that answered and its proxy, without credentials and query, for messages. */
  readonly from: string;
}

export interface HttpClientOptions extends Pick<RouteOptions, 'ca' | 'connectTo' | 'proxyFor'> {
  readonly clock: Clock;
  /** Aborts whatever is under way. */
  readonly signal?: AbortSignal;
  /** Used for each request, including redirects. */
  readonly credentials?: Credentials;
  /** How much is read of a body at a time. */
  readonly pieceBytes?: number;
}

const maxRedirects = 5;
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * HTTP(S) over Node's own client, directly or through proxies: connections are kept for the next
 * request, bodies arrive as the server stores them (no content coding is requested).
 */
export function openHttpClient(options: HttpClientOptions): HttpClient {
  const credentials = options.credentials ?? new Credentials('the file of credentials');
  const routes = new Routes({
    ...options,
    // Two pieces, so that the network fills one while the other is processed.
    bufferBytes: 2 * (options.pieceBytes ?? cappedPieceBytes(0)),
    authorizeProxy: (proxy) => credentials.authorizeProxy(proxy),
  });

  const exchange = async (
    url: URL,
    route: Route,
    headers: OutgoingHttpHeaders,
    patienceMs: number,
  ): Promise<IncomingMessage> => {
    const stop = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
    const authorization = credentials.authorize(url);
    const response = new Promise<IncomingMessage>((resolve, reject) => {
      const sent = route.send({
        method: 'GET',
        headers: {
          host: url.host,
          'accept-encoding': 'identity',
          ...headers,
          ...(authorization === undefined ? {} : { authorization }),
        },
      });
      const giveUp = (): void => {
        const reason = signal.reason as Error;
        sent.destroy(reason);
        if (sent.socket !== null) return;
        // The request waits for a connection and would emit its error only after that.
        route.giveUp();
        reject(reason);
      };
      signal.addEventListener('abort', giveUp, { once: true });
      sent.once('response', (message) => {
        // From here on the body's reader watches the time; only the caller's own signal still ends
        // the exchange.
        signal.removeEventListener('abort', giveUp);
        const cut = (): void => void message.destroy(options.signal?.reason as Error);
        options.signal?.addEventListener('abort', cut, { once: true });
        message.once('close', () => options.signal?.removeEventListener('abort', cut));
        resolve(message);
      });
      sent.once('error', (error) => {
        reject(sent.reusedSocket && !signal.aborted ? new KeptConnectionLost(error) : error);
      });
      onTunnelRefused(sent, (status) => {
        // Otherwise the proxy's page would be taken for the server's answer.
        sent.destroy();
        reject(new ProxyAnswer(status));
      });
      if (signal.aborted) giveUp();
      else sent.end();
    });
    const timer = new AbortController();
    const late = options.clock.sleep(patienceMs, timer.signal).then(
      () => stop.abort(new Error(`no answer within ${Math.round(patienceMs / 1000)} s`)),
      () => undefined, // the answer was first
    );
    try {
      const message = await response;
      if (route.proxy === undefined || message.statusCode !== 407) return message;
      message.destroy();
      throw new ProxyAnswer(407);
    } finally {
      timer.abort();
      await late;
    }
  };

  /**
   * Retries on another connection when a kept one is lost: the server may have closed it at that
   * moment.
   */
  const ask: typeof exchange = async (url, route, headers, patienceMs) => {
    try {
      return await exchange(url, route, headers, patienceMs);
    } catch (error) {
      if (!(error instanceof KeptConnectionLost)) throw error;
      return await ask(url, route, headers, patienceMs);
    }
  };

  /** Why no answer came from the server, as one sentence. */
  const unreachable = (from: string, { proxy }: Route, cause: unknown): DownloadError => {
    const isRefused = cause instanceof ProxyAnswer && !isTransientStatus(cause.status);
    let reason = reasonOf(cause);
    if (proxy !== undefined && cause instanceof ProxyAnswer) {
      reason = `the proxy answered with status ${cause.status}`;
      // Some proxies, such as tinyproxy, answer 401 instead of 407.
      if (cause.status === 407 || cause.status === 401)
        reason += `: ${credentials.adviceForProxy(proxy.url, proxy.authorization !== undefined)}`;
    }
    const distrust = distrustOf(cause, options.ca !== undefined);
    const words = distrust ?? `cannot be reached: ${reason}`;
    return new DownloadError('download-failed', `${from} ${words}`, {
      resumable: true,
      final: isRefused,
      cause,
    });
  };

  const once = async (url: URL, headers: OutgoingHttpHeaders, patienceMs: number) => {
    const route = await routes.to(url);
    const from =
      route.proxy === undefined
        ? publicName(url)
        : `${publicName(url)} through the proxy ${route.proxy.name}`;
    try {
      return { message: await ask(url, route, headers, patienceMs), route, from };
    } catch (cause) {
      options.signal?.throwIfAborted();
      throw unreachable(from, route, cause);
    }
  };

  return {
    async getOnce(address, headers, patienceMs) {
      const { message, from } = await once(parseAddress(address), headers, patienceMs);
      watchPauses(message, patienceMs);
      return { status: message.statusCode ?? 0, body: message, from };
    },
    async get(address, headers, patienceMs) {
      let url = parseAddress(address);
      for (let hop = 0; ; hop += 1) {
        const { message, route, from } = await once(url, headers, patienceMs);
        const status = message.statusCode ?? 0;
        if (status === 401) {
          message.destroy();
          let advice = credentials.adviceFor(url, message.headers['www-authenticate'] ?? '');
          if (url.protocol === 'http:' && route.proxy?.authorization !== undefined)
            advice += ', or the proxy says so for itself and does not accept what it was given';
          throw new DownloadError('download-failed', `${from} answered with status 401: ${advice}`, {
            resumable: true,
            final: true,
          });
        }
        if (!redirects.has(status)) return { status, body: message, from };
        message.destroy();
        if (hop === maxRedirects) {
          throw refusedRedirect(parseAddress(address), `more than ${maxRedirects} redirects`);
        }
        url = redirectTarget(url, message.headers.location);
      }
    },
    close() {
      routes.close();
    },
  };
}

/** An error of a connection that had served a request before, without an answer. */
class KeptConnectionLost extends Error {
  constructor(cause: Error) {
    super(cause.message, { cause });
  }
}

/** A proxy's own answer instead of a server's. */
class ProxyAnswer extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`status ${status}`);
    this.status = status;
  }
}

/**
 * https-proxy-agent reports the proxy's answer to CONNECT, and would then pass the proxy's page on
 * as the server's answer.
 */
function onTunnelRefused(sent: ClientRequest, refused: (status: number) => void): void {
  sent.once('proxyConnect', ({ statusCode = 200 }: { readonly statusCode?: number }) => {
    if (statusCode !== 200) refused(statusCode);
  });
}

/** Ends a body when no byte arrives for `patienceMs`. */
function watchPauses(body: IncomingMessage, patienceMs: number): void {
  const { socket } = body;
  const giveUp = (): void =>
    void body.destroy(new Error(`nothing came for ${Math.round(patienceMs / 1000)} s`));
  socket.setTimeout(patienceMs).once('timeout', giveUp);
  body.once('close', () => socket.setTimeout(0).off('timeout', giveUp));
}

/** The address without parts that may be secret: user name, password, query. */
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

/** Where a redirect leads. It never leaves TLS: a server without TLS could send endless data. */
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

/**
 * Why a server that was reached is not trusted; undefined for other errors. The codes are of
 * OpenSSL's X509_verify_cert and of Node's check of names.
 * @param isGiven whether trusted authorities were given in place of the system's
 */
function distrustOf(cause: unknown, isGiven: boolean): string | undefined {
  const { code = '' } = (cause ?? {}) as { readonly code?: unknown };
  if (typeof code !== 'string') return undefined;
  const why = reasonOf(cause).trim();
  if (code === 'EPROTO' && why.includes(':wrong version number:')) return 'does not speak TLS';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `has a certificate for other names: ${why}`;
  if (code === 'CERT_NOT_YET_VALID') return `is not trusted: ${notYetValid}; check the clock here`;
  if (code === 'CERT_HAS_EXPIRED') return `is not trusted: ${why}; check the clock here`;
  if (!/^(?:CERT_|DEPTH_|SELF_SIGNED_|UNABLE_TO_)/.test(code)) return undefined;
  const advice = isGiven ? '' : '; name the certificate of its authority in NODE_EXTRA_CA_CERTS';
  return `is not trusted: ${why}${advice}`;
}

/**
 * The innermost sentence of a network error; Node's happy-eyeballs errors have an empty message of
 * their own.
 */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  return error instanceof Error ? error.message : String(error);
}
