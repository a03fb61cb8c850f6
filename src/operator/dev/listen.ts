import { once } from 'node:events';
import type { Server } from 'node:net';
import { Refusal } from '../../core/refusal/index.ts';

/** The meaning of the error, and what to do (listen(2), bind(2)). */
const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there; stop it or choose another port',
  EADDRNOTAVAIL: 'this machine does not have the address; choose one of its own, or 0.0.0.0 for all',
  EACCES: 'this user may not use the port; choose one from 1024 on',
  ENOTFOUND: 'the name has no address; give the address of this machine',
};

/**
 * Makes `server` listen and returns the port, a free one for `port` 0.
 * @throws Refusal `input-invalid` when it cannot listen on the address
 */
export async function listen(server: Server, host: string, port: number): Promise<number> {
  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (cause) {
    const { code = '', message } = cause as NodeJS.ErrnoException;
    const reason = reasons[code] ?? message;
    throw new Refusal('input-invalid', `cannot listen on ${urlHost(host)}:${port}: ${reason}`, { cause });
  }
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has an address');
  return address.port;
}

/** An address as in URLs: IPv6 in brackets (RFC 3986 §3.2.2). */
export function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
