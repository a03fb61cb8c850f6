import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from '../../qemu/free-port.ts';

/** A third-party forward proxy on loopback. */
export interface TinyProxy {
  readonly port: number;
  /** `host:port`. */
  readonly name: string;
  /**
   * The first lines of its requests, such as `CONNECT 127.0.0.1:443 HTTP/1.1`; complete when `stop`
   * has returned.
   */
  readonly requests: readonly string[];
  stop(): Promise<void>;
}

/**
 * Starts Debian's tinyproxy with these lines added to its configuration, such as
 * `BasicAuth user password`.
 */
export async function startTinyProxy(lines: readonly string[] = []): Promise<TinyProxy> {
  const directory = await mkdtemp(join(tmpdir(), 'wherry-proxy-'));
  const port = await freePort();
  const file = join(directory, 'tinyproxy.conf');
  const base = [`Port ${port}`, 'Listen 127.0.0.1', 'Allow 127.0.0.1', 'Timeout 60', 'LogLevel Info'];
  await writeFile(file, [...base, ...lines, ''].join('\n'));
  const requests: string[] = [];
  const child = spawn('tinyproxy', ['-d', '-c', file], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  const log = createInterface(child.stdout);
  const started = new Promise<void>((resolve, reject) => {
    log.on('line', (line) => {
      const request = /Request \(file descriptor \d+\): (.*)$/.exec(line)?.[1];
      if (request !== undefined) requests.push(request);
      if (line.includes('Accepting connections')) resolve();
    });
    child.once('error', reject);
    void ended.then(() => reject(new Error('tinyproxy ended')), reject);
  });
  const stop = async () => {
    child.kill();
    await ended;
    await rm(directory, { recursive: true, force: true });
  };
  await started.catch(async (error: unknown) => {
    await rm(directory, { recursive: true, force: true });
    throw error;
  });
  return { port, name: `127.0.0.1:${port}`, requests, stop };
}
