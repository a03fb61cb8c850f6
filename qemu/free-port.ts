import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';

/**
 * A free port of 127.0.0.1. It is below the range from which the kernel assigns ports to outgoing
 * connections and to servers that request any port, so it stays free until its owner listens, also
 * while that owner restarts.
 */
export async function freePort(): Promise<number> {
  const range = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
  const firstOfKernel = Number.parseInt(range, 10);
  const lowest = Math.max(1024, firstOfKernel - 20_000);
  // Each process has its own share, because two that call at once would find the same port free.
  const shares = 64;
  for (let attempt = 0; attempt < 100; attempt++) {
    const slot = randomInt(Math.floor((firstOfKernel - lowest) / shares));
    const port = lowest + slot * shares + (process.pid % shares);
    if (await isFree(port)) return port;
  }
  throw new Error('No free port on this machine.');
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
