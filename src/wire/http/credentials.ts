/** The credential for one web server, or one proxy. */
export interface Credential {
  /** The whole value of the header. */
  readonly header: string;
  /** Whether it may be sent without TLS. */
  readonly plain: boolean;
}

/**
 * Credentials for web servers by host (with its port, unless it is the scheme's own), and for
 * proxies by origin, as in `http://proxy.example:3128`. They are sent to that host only, never
 * along a redirect, and only over TLS unless they are marked otherwise. No message quotes one.
 */
export class Credentials {
  readonly #place: string | undefined;
  readonly #byHost: ReadonlyMap<string, Credential>;

  /**
   * @param place where they are stored, for advice: a file, or how to name one; absent: those of a
   *   proxy are in its address
   */
  constructor(place?: string, byHost: ReadonlyMap<string, Credential> = new Map()) {
    this.#place = place;
    this.#byHost = byHost;
  }

  /** The `Authorization` header for a request to `url`, or undefined. */
  authorize(url: URL): string | undefined {
    const found = this.#byHost.get(url.host);
    return found !== undefined && (url.protocol === 'https:' || found.plain) ? found.header : undefined;
  }

  /** The `Proxy-Authorization` header for a proxy, or undefined. */
  authorizeProxy(proxy: URL): string | undefined {
    return this.#byHost.get(proxy.origin)?.header;
  }

  /**
   * What to do about a 401 (RFC 9110 §15.5.2).
   * @param challenge its `WWW-Authenticate`; empty when it had none
   */
  adviceFor(url: URL, challenge: string): string {
    const table = `[${JSON.stringify(url.host)}]`;
    if (challenge !== '' && !/\b(?:basic|bearer)\b/i.test(challenge)) {
      const scheme = /^\s*([\w-]{1,30})/.exec(challenge)?.[1] ?? 'something';
      return `it requires ${scheme}, and only Basic and Bearer are supported`;
    }
    if (this.authorize(url) !== undefined)
      return `it does not accept the credentials that ${this.#place} has in ${table}`;
    if (this.#byHost.has(url.host))
      return `it requires credentials, and those that ${this.#place} has in ${table} go over https only, unless they have plain = true`;
    if (this.#place === undefined) return 'it requires credentials';
    return `it requires credentials: put user and password, or token, into ${this.#place} below ${table}`;
  }

  /** What to do about a proxy's 407 (RFC 9110 §15.5.8). */
  adviceForProxy(proxy: URL, wasGivenCredentials: boolean): string {
    if (wasGivenCredentials) return 'it does not accept the user and password that it was given';
    if (this.#place === undefined)
      return `it requires credentials: put them into its address, http://USER:PASSWORD@${proxy.host}`;
    return `it requires credentials: put user and password into ${this.#place} below [${JSON.stringify(proxy.origin)}]`;
  }
}
