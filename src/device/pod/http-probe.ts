/**
 * Asks an app on this host whether it is healthy: a GET of `path` at `port` of the pod's address.
 */
export interface HttpProbe {
  readonly port: number;
  readonly path: string;
}

/**
 * Reads the annotation wherry/probe-http, `<port>[<path>]`, for example `8080/healthz`; undefined
 * when it is not one.
 */
export function parseHttpProbe(text: string): HttpProbe | undefined {
  const match = /^([0-9]{1,5})(\/[\x21-\x7e]{0,255})?$/.exec(text);
  const port = Number(match?.[1]);
  return port >= 1 && port <= 65535 ? { port, path: match?.[2] ?? '/' } : undefined;
}
