import { once } from 'node:events';
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer, type AddressInfo, type Server as TcpServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort } from '../../../qemu/free-port.ts';
import { askHttp, askTcp } from '../../../src/device/health/probe.ts';

const servers: (Server | TcpServer)[] = [];
afterEach(() => Promise.all(servers.splice(0).map((server) => new Promise((done) => server.close(done)))));

async function listen(server: Server | TcpServer): Promise<number> {
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return (server.address() as AddressInfo).port;
}
const answering = (status: number) => createHttpServer((_, response) => response.writeHead(status).end());
const at = { host: '127.0.0.1', timeoutMs: 250_000 };

describe('a probe by HTTP', () => {
  it.each([
    [200, true],
    [302, true],
    [404, false],
    [503, false],
  ])('takes status %i for well: %s', async (status, ok) => {
    const port = await listen(answering(status));
    expect(await askHttp({ ...at, port, path: '/' })).toEqual({ ok, detail: `HTTP ${status}` });
  });

  it('does not wait longer than its timeout for a server that keeps sending', async () => {
    const port = await listen(
      createServer((socket) => {
        socket.on('error', () => undefined);
        const timer = setInterval(() => socket.write('x'), 10);
        socket.on('close', () => clearInterval(timer));
        socket.write('HTTP/1.1 200 OK\r\nx: ');
      }),
    );
    expect(await askHttp({ ...at, port, path: '/', timeoutMs: 100 })).toEqual({
      ok: false,
      detail: 'no answer within 0.1 s',
    });
  });

  it('reports that no process listens', async () => {
    const port = await freePort();
    expect(await askHttp({ ...at, port, path: '/' })).toMatchObject({
      ok: false,
      detail: expect.stringContaining('ECONNREFUSED') as string,
    });
  });
});

describe('a probe by TCP', () => {
  it('treats a connection as good and sends nothing', async () => {
    const received: Buffer[] = [];
    const server = createServer((socket) => socket.on('data', (data) => received.push(data)));
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const port = await listen(server);
    expect(await askTcp({ ...at, port })).toEqual({ ok: true, detail: `port ${port} is open` });
    const [socket] = await accepted;
    if (!socket.closed) await once(socket, 'close');
    expect(received).toEqual([]);
  });

  it('reports that no process listens', async () => {
    const port = await freePort();
    expect(await askTcp({ ...at, port })).toMatchObject({ ok: false });
  });
});
