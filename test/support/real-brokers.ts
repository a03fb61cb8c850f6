import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Aedes } from 'aedes';
import { freePort } from '../../qemu/free-port.ts';
import { readyServer } from './ready-server.ts';

/** A real broker on a loopback port, which can crash and restart on the same port. */
export interface RealBroker {
  readonly url: string;
  readonly port: number;
  start(): Promise<void>;
  /** Ends the broker and every connection at once. */
  kill(): Promise<void>;
}

export const mosquittoPath = '/usr/sbin/mosquitto';
export const hasMosquitto = existsSync(mosquittoPath);

/** aedes, in this process. */
export async function aedesBroker(): Promise<RealBroker> {
  const port = await freePort();
  let broker: Aedes | undefined;
  let server: Server | undefined;
  const sockets = new Set<Socket>();
  const cutAll = () => sockets.forEach((socket) => socket.destroy());
  return {
    port,
    url: `mqtt://127.0.0.1:${port}`,
    async start() {
      const aedes = (broker = await Aedes.createBroker());
      server = createServer((socket) => {
        sockets.add(socket);
        socket.once('close', () => sockets.delete(socket));
        aedes.handle(socket);
      });
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    },
    async kill() {
      cutAll();
      if (server?.listening === true) {
        server.close();
        await once(server, 'close');
      }
      await new Promise<void>((resolve) => (broker === undefined ? resolve() : broker.close(resolve)));
      broker = undefined;
    },
  };
}

export interface Mosquitto extends RealBroker {
  /** Writes its state to disk (SIGUSR1), if its configuration names a file. */
  save(): void;
  /** Stops it like systemd (SIGTERM), so that it notifies MQTT 5 clients. */
  stop(): Promise<void>;
}

/**
 * mosquitto, as its own process. It loses its state when it ends. `extra` is appended to its
 * configuration.
 */
export async function mosquittoBroker(extra = ''): Promise<Mosquitto> {
  const port = await freePort();
  let running: { readonly child: ChildProcess; readonly directory: string } | undefined;
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    if (running === undefined) return;
    const { child, directory } = running;
    running = undefined;
    if (child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      await once(child, 'exit');
    }
    await rm(directory, { recursive: true });
  };
  return {
    port,
    url: `mqtt://127.0.0.1:${port}`,
    async start() {
      const directory = await mkdtemp(join(tmpdir(), 'wherry-mosquitto-'));
      const config = join(directory, 'mosquitto.conf');
      await writeFile(config, `listener ${port} 127.0.0.1\nallow_anonymous true\nuser root\n${extra}\n`);
      const child = spawn(mosquittoPath, ['-c', config], { stdio: ['ignore', 'ignore', 'pipe'] });
      running = { child, directory };
      // Also when a test ends before its clean-up.
      const reap = () => child.kill('SIGKILL');
      process.once('exit', reap);
      child.once('exit', () => process.off('exit', reap));
      // Version 2.1 also logs its user before it listens.
      await readyServer(child, 'mosquitto', ' running\n');
    },
    save() {
      running?.child.kill('SIGUSR1');
    },
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  };
}
