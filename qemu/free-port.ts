import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type ListenOptions, type Server } from 'node:net';

/**
 * A free port of 127.0.0.1 that no other call returns until this process ends, in any process of
 * this network namespace. It is below the range from which the kernel assigns ports to outgoing
 * connections and to servers that request any port, so it stays free until its owner listens, also
 * while that owner restarts.
 */
export async function freePort(): Promise<number> {
  const range = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
  const firstOfKernel = Number.parseInt(range, 10);
  const lowest = Math.max(1024, firstOfKernel - 20_000);
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(lowest, firstOfKernel);
    if ((await claim(port)) && (await isFree(port))) return port;
  }
  throw new Error('No free port on this machine.');
}

/**
 * False if a call has claimed the port before. The claim is an abstract socket, see unix(7): the
 * kernel keeps its name for one process, and frees it when that process ends.
 */
async function claim(port: number): Promise<boolean> {
  const server = createServer().unref();
  return await listens(server, { path: `\0wherry-port-${port}` });
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  if (!(await listens(server, { port, host: '127.0.0.1' }))) return false;
  server.close();
  await once(server, 'close');
  return true;
}

async function listens(server: Server, on: ListenOptions): Promise<boolean> {
  server.listen(on);
  try {
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  }
}
