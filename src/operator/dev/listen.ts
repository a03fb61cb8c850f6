import { once } from 'node:events';
import type { Server } from 'node:net';
import { Refusal } from '../../core/refusal/index.ts';

/**
 * Makes `server` listen and returns the port, a free one for `port` 0.
 * @throws Refusal `input-invalid` when the address cannot be had
 */
export async function listen(server: Server, host: string, port: number): Promise<number> {
  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (cause) {
    const advice = 'stop what listens there or choose another port';
    throw new Refusal('input-invalid', `cannot listen on ${host}:${port}; ${advice}`, { cause });
  }
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has an address');
  return address.port;
}
