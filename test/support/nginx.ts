import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from '../../qemu/free-port.ts';

/** The server's log entry of one request. */
export interface NginxRequest {
  readonly path: string;
  readonly range: string | undefined;
  readonly status: number;
  /** When the answer ended, by the clock of this machine. */
  readonly endMs: number;
  /** The bytes of the body that were passed to the kernel. */
  readonly sentBytes: number;
}

/** A third-party web server on loopback. */
export interface Nginx {
  readonly url: string;
  /** The directory that `location` blocks of the configuration serve. */
  readonly root: string;
  /** The answers so far, in the order of their ends; complete after `stop`. */
  requests(): NginxRequest[];
  /** Starts new workers, and cuts the answers of the old ones. */
  reload(): void;
  /** Ends the server. */
  stop(): Promise<void>;
  /** Removes its files; it must have ended. */
  remove(): Promise<void>;
}

/**
 * Starts Debian's nginx with its own files.
 * @param server lines of its `server` block
 * @param http lines beside that, such as zones and other servers
 */
export async function startNginx(server: string, http = ''): Promise<Nginx> {
  const root = await mkdtemp(join(tmpdir(), 'wherry-nginx-'));
  const port = await freePort();
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const config = [
    ...(process.getuid?.() === 0 ? ['user root;'] : []),
    `daemon off; pid ${root}/pid; worker_processes 1; worker_shutdown_timeout 100ms;`,
    'error_log stderr notice;',
    'events { }',
    'http {',
    `  log_format asked '$uri|$http_range|$status|$msec|$body_bytes_sent';`,
    '  access_log off;',
    ...paths.map((name) => `  ${name}_temp_path ${root}/${name};`),
    http,
    // A small buffer, so the count of sent bytes is close to that of received bytes.
    `  server { listen 127.0.0.1:${port} sndbuf=16k; root ${root};`,
    `    access_log ${root}/log asked; ${server} }`,
    '}',
  ];
  await writeFile(`${root}/conf`, config.join('\n'));
  const child = spawn('nginx', ['-p', root, '-c', `${root}/conf`, '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(child, 'close');
  const said: string[] = [];
  const started = new Promise<void>((resolve, reject) => {
    createInterface(child.stderr).on('line', (line) => {
      said.push(line);
      if (line.includes('start worker process ')) resolve();
    });
    child.once('error', reject);
    void ended.then(() => reject(new Error(`nginx ended: ${said.join('\n')}`)), reject);
  });
  const remove = () => rm(root, { recursive: true, force: true });
  await started.catch(async (error: unknown) => {
    await remove();
    throw error;
  });
  return {
    url: `http://127.0.0.1:${port}`,
    root,
    requests: () => readFileSync(`${root}/log`, 'utf8').split('\n').slice(0, -1).map(requestOf),
    reload: () => void child.kill('SIGHUP'),
    stop: async () => {
      child.kill('SIGQUIT');
      await ended;
    },
    remove,
  };
}

function requestOf(line: string): NginxRequest {
  const [path = '', range = '-', status, seconds, sentBytes] = line.split('|');
  return {
    path,
    range: range === '-' ? undefined : range,
    status: Number(status),
    endMs: Number(seconds) * 1000,
    sentBytes: Number(sentBytes),
  };
}
