import { Agent, request as plainRequest, type ClientRequest, type RequestOptions } from 'node:http';
import type {
  Agent as SecureAgent,
  request as SecureRequest,
  RequestOptions as SecureOptions,
} from 'node:https';
import type { checkServerIdentity } from 'node:tls';
import { parseProxy, type Proxy, type ProxyFor } from './proxies.ts';

/** How a request reaches its server. */
export interface Route {
  /** Makes the request; the caller ends it. */
  send(options: RequestOptions): ClientRequest;
  /** The proxy that forwards it. */
  readonly proxy?: Proxy;
  /**
   * Must be called for a request that was abandoned before it had a connection, so that nothing
   * waits for it.
   */
  giveUp(): void;
}

export interface RouteOptions {
  /** PEM certificates to trust instead of the system's. */
  readonly ca?: string;
  /** How many bytes of a body may be buffered. */
  readonly bufferBytes: number;
  /**
   * Where to connect for a host and a port, in place of asking DNS, as curl's `--connect-to` does.
   */
  readonly connectTo?: (
    host: string,
    port: number,
  ) => { readonly host: string; readonly port: number } | undefined;
  readonly proxyFor?: ProxyFor;
  /** `Proxy-Authorization` for a proxy whose address has no password. */
  readonly authorizeProxy?: (proxy: URL) => string | undefined;
}

interface Secure {
  readonly agent: SecureAgent;
  readonly request: typeof SecureRequest;
  readonly checkServerIdentity: typeof checkServerIdentity;
}

interface Proxied {
  readonly agent: Agent;
  readonly end: AbortController;
}

/**
 * Connections, kept for the next request: straight to the server, or through a proxy. TLS is loaded
 * when the first https address is met, the proxy libraries when the first proxy is.
 */
export class Routes {
  readonly #options: RouteOptions;
  readonly #settings: {
    keepAlive: true;
    maxSockets: number;
    highWaterMark: number;
    autoSelectFamilyAttemptTimeout: number;
    ca?: string;
  };
  readonly #agent: Agent;
  readonly #proxied = new Map<string, Promise<Proxied>>();
  #secure: Promise<Secure> | undefined;

  constructor(options: RouteOptions) {
    this.#options = options;
    this.#settings = {
      keepAlive: true,
      maxSockets: 4,
      highWaterMark: options.bufferBytes,
      // As for brokers (wire/mqtt/mqtt-transport.ts): 250 ms are too short for a slow link.
      autoSelectFamilyAttemptTimeout: 5_000,
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    };
    this.#agent = new Agent(this.#settings);
  }

  /** @throws DownloadError `download-failed` when the proxy that is set cannot be one */
  async to(url: URL): Promise<Route> {
    const isSecure = url.protocol === 'https:';
    const named = this.#options.proxyFor?.(url) ?? '';
    const instead = this.#options.connectTo?.(url.hostname, Number(url.port) || (isSecure ? 443 : 80));
    const place =
      instead === undefined ? {} : { hostname: instead.host, port: instead.port, servername: url.hostname };
    const secure = isSecure ? await (this.#secure ??= this.#loadSecure()) : undefined;
    if (named === '') {
      return {
        send: (options) =>
          secure === undefined
            ? plainRequest(url, { ...options, ...place, agent: this.#agent })
            : secure.request(url, { ...options, ...place, agent: secure.agent }),
        giveUp: () => undefined,
      };
    }
    const proxy = this.#known(parseProxy(named));
    // With `connectTo` the request must keep the original name, so a tunnel is used, as in curl.
    const kind = isSecure || instead !== undefined ? 'tunnel' : 'forward';
    const key = `${kind} ${proxy.url.href} ${proxy.authorization ?? ''}`;
    let entry = this.#proxied.get(key);
    if (entry === undefined) this.#proxied.set(key, (entry = this.#loadProxied(kind, proxy)));
    const { agent, end } = await entry;
    return {
      proxy,
      send: (options) => {
        if (secure === undefined) return plainRequest(url, { ...options, ...place, agent });
        const throughTunnel: SecureOptions = {
          ...options,
          ...place,
          ...this.#settings,
          agent,
          // In a tunnel Node would compare the certificate of a server without a name with the
          // proxy's name.
          checkServerIdentity: (_, certificate) =>
            secure.checkServerIdentity(url.hostname.replace(/^\[|\]$/g, ''), certificate),
        };
        return secure.request(url, throughTunnel);
      },
      giveUp: () => {
        // The library waits forever for a proxy that does not answer, and reads without limit from
        // one that does not stop.
        this.#proxied.delete(key);
        end.abort();
      },
    };
  }

  /** Ends all connections. */
  close(): void {
    this.#agent.destroy();
    void this.#secure?.then(({ agent }) => agent.destroy());
    for (const entry of this.#proxied.values()) {
      void entry.then(({ agent, end }) => {
        agent.destroy();
        end.abort();
      });
    }
  }

  #known(proxy: Proxy): Proxy {
    const authorization = proxy.authorization ?? this.#options.authorizeProxy?.(proxy.url);
    return authorization === undefined ? proxy : { ...proxy, authorization };
  }

  async #loadSecure(): Promise<Secure> {
    const [https, tls] = await Promise.all([import('node:https'), import('node:tls')]);
    return {
      agent: new https.Agent(this.#settings),
      request: https.request,
      checkServerIdentity: tls.checkServerIdentity,
    };
  }

  async #loadProxied(kind: 'tunnel' | 'forward', { url, authorization }: Proxy): Promise<Proxied> {
    const end = new AbortController();
    const settings = {
      ...this.#settings,
      signal: end.signal,
      headers: authorization === undefined ? {} : { 'Proxy-Authorization': authorization },
    };
    const agent =
      kind === 'tunnel'
        ? new (await import('https-proxy-agent')).HttpsProxyAgent(url, settings)
        : new (await import('http-proxy-agent')).HttpProxyAgent(url, settings);
    return { agent, end };
  }
}
