/** The one function of proxy-from-env, which brings no types. */
declare module 'proxy-from-env' {
  /** The proxy for an address by `process.env`, or an empty string. */
  export function getProxyForUrl(url: string): string;
}
