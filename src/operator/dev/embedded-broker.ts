import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import type { Aedes } from 'aedes';
import { Refusal } from '../../core/refusal/index.ts';
import { listen, urlHost } from './listen.ts';

export interface EmbeddedBroker {
  readonly port: number;
  readonly url: string;
  /** Publishes a retained message as the broker itself. */
  retain(topic: string, payload: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/**
 * An MQTT 3.1.1 broker in this process, for trying things out: no accounts, no TLS, nothing on
 * disk. In production it is replaced by any broker.
 * @throws Refusal `device-unsupported` where aedes is not installed, `input-invalid` when it cannot
 *   listen on the port
 */
export async function startEmbeddedBroker(options: {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly onClient?: (clientId: string, connected: boolean) => void;
}): Promise<EmbeddedBroker> {
  const broker = await createAedes();
  if (options.onClient !== undefined) {
    broker.on('client', (client) => options.onClient?.(client.id, true));
    broker.on('clientDisconnect', (client) => options.onClient?.(client.id, false));
  }
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    broker.handle(socket);
  });
  const port = await listen(server, options.host, options.port).catch(async (error: unknown) => {
    await new Promise<void>((resolve) => broker.close(resolve)); // its timers would keep the process alive
    throw error;
  });
  return {
    port,
    url: `mqtt://${urlHost(options.host)}:${port}`,
    async retain(topic, payload) {
      const packet = {
        cmd: 'publish',
        topic,
        payload: Buffer.from(payload),
        qos: 1,
        retain: true,
        dup: false,
      } as const;
      await new Promise<void>((resolve, reject) => {
        broker.publish(packet, (error) => (error instanceof Error ? reject(error) : resolve()));
      });
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await Promise.all([closed, new Promise<void>((resolve) => broker.close(resolve))]);
    },
  };
}

/**
 * aedes is a development dependency: packages for devices come without it, and bundlers must not
 * follow the name.
 */
async function createAedes(): Promise<Aedes> {
  const name: string = 'aedes';
  try {
    const module = (await import(name)) as typeof import('aedes');
    return await module.Aedes.createBroker();
  } catch (cause) {
    const advice = 'run "wherry dev" from a source checkout, or use a broker such as mosquitto';
    throw new Refusal('device-unsupported', `the embedded broker is not installed here; ${advice}`, {
      cause,
    });
  }
}
