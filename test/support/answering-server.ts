import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

export interface AnsweringServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * A server on loopback that answers the first bytes of each connection with `bytes`.
 * @param ends whether it ends the connection then
 */
export async function answeringServer(bytes: Uint8Array | string, ends: boolean): Promise<AnsweringServer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('data', () => (ends ? socket.end(bytes) : socket.write(bytes)));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      sockets.forEach((socket) => socket.destroy());
      server.close();
      await once(server, 'close');
    },
  };
}
