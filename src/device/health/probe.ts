import { request } from 'node:http';
import type { HttpProbe } from '../pod/index.ts';

/**
 * Asks once at `host`, an address. Well is any status from 200 to 399 within `timeoutMs`; the body
 * is thrown away unread.
 */
export async function askHttp(
  probe: HttpProbe,
  host: string,
  timeoutMs: number,
): Promise<{ ok: boolean; detail: string }> {
  return await new Promise((resolve) => {
    const asked = request(
      { host, port: probe.port, path: probe.path, timeout: timeoutMs, agent: false },
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
