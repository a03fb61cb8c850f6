import { request } from 'node:http';

/** An HTTP probe on this host, as the annotation `wherry/probe-http` gives it: `<port><path>`. */
export interface HttpProbe {
  readonly port: number;
  readonly path: string;
}

/** Reads `8080/healthz`; undefined when it is not of that form. */
export function parseHttpProbe(text: string): HttpProbe | undefined {
  const match = /^([0-9]{1,5})(\/[\x21-\x7e]{0,255})?$/.exec(text);
  const port = Number(match?.[1]);
  return port >= 1 && port <= 65535 ? { port, path: match?.[2] ?? '/' } : undefined;
}

/**
 * Asks once. Well is any status from 200 to 399 within `timeoutMs`; the body is thrown away unread.
 */
export async function askHttp(probe: HttpProbe, timeoutMs: number): Promise<{ ok: boolean; detail: string }> {
  return await new Promise((resolve) => {
    const asked = request(
      { host: '127.0.0.1', port: probe.port, path: probe.path, timeout: timeoutMs, agent: false },
      (response) => {
        const status = response.statusCode ?? 0;
        response.destroy();
        resolve({ ok: status >= 200 && status < 400, detail: `HTTP ${status}` });
      },
    );
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    asked.on('error', (error) => resolve({ ok: false, detail: error.message }));
    asked.end();
  });
}
