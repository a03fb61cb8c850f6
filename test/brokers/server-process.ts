import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { MqttTransport } from '../../src/wire/mqtt/index.ts';

/** A server with all of its children, which ends with the test process if not before. */
export interface ServerProcess {
  readonly output: () => string;
  readonly running: () => boolean;
  /** SIGKILL to the server and everything that it has started. */
  kill(): Promise<void>;
}

export function startServer(
  program: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = process.env,
): ServerProcess {
  // A process group of its own: RabbitMQ's start script stays as the parent of the server.
  const child: ChildProcess = spawn(program, args, {
    detached: true,
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const group = child.pid;
  const end = () => {
    try {
      if (group !== undefined) process.kill(-group, 'SIGKILL');
    } catch {
      // There is no such process group any more.
    }
  };
  process.once('exit', end);
  let output = '';
  const keep = (chunk: Buffer) => (output = (output + chunk.toString()).slice(-4000));
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  child.once('error', (error) => (output += error.message));
  const running = () => child.pid !== undefined && child.exitCode === null && child.signalCode === null;
  return {
    output: () => output,
    running,
    async kill() {
      const exited = running() ? once(child, 'exit') : undefined;
      end();
      await exited;
      process.off('exit', end);
    },
  };
}

/** Waits until the broker at `url` acknowledges a message. `server` must go on running. */
export async function takesClients(url: string, server: ServerProcess): Promise<void> {
  for (;;) {
    if (!server.running()) throw new Error(`the broker at ${url} did not start: ${server.output()}`);
    try {
      const connection = await new MqttTransport({ url, version: 4 }).connect({
        clientId: `ready-${url.split(':').at(-1) ?? ''}`,
        keepaliveSeconds: 300,
        onMessage: () => undefined,
      });
      await connection.publish({ topic: 'ready', payload: new Uint8Array() }, { retain: false });
      await connection.close();
      return;
    } catch {
      await sleep(100);
    }
  }
}

/** Waits until `server` has printed `words`. */
export async function says(server: ServerProcess, words: string): Promise<void> {
  while (!server.output().includes(words)) {
    if (!server.running()) throw new Error(`the broker did not start: ${server.output()}`);
    await sleep(100);
  }
}
