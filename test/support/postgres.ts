import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readyServer } from './ready-server.ts';

/** A real PostgreSQL server on a socket in a temporary directory, which can crash and restart. */
export interface PostgresServer {
  readonly url: string;
  start(): Promise<void>;
  /** Stops it at once, like a crash. */
  kill(): Promise<void>;
  /** Kills all of its processes with SIGKILL, like a crash of the machine. */
  crash(): Promise<void>;
  /** Stops all of its processes where they are, like a network that is cut. */
  freeze(): void;
  thaw(): void;
  remove(): Promise<void>;
}

const versions = '/usr/lib/postgresql';
const programs = existsSync(versions)
  ? readdirSync(versions)
      .map((version) => join(versions, version, 'bin'))
      .find((path) => existsSync(join(path, 'postgres')) && existsSync(join(path, 'initdb')))
  : undefined;
export const hasPostgres = programs !== undefined;

/** PostgreSQL refuses to run as root, so there it runs as the user of Debian's package. */
const user = process.getuid?.() === 0 ? idsOf('postgres') : {};

function idsOf(name: string): { uid?: number; gid?: number } {
  try {
    const id = (option: string) =>
      Number(execFileSync('id', [option, name], { stdio: ['ignore', 'pipe', 'ignore'] }));
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    return {};
  }
}

export function postgresServer(): PostgresServer {
  if (programs === undefined) throw new Error('PostgreSQL is not installed');
  const directory = mkdtempSync(join(tmpdir(), 'wherry-pg-'));
  if (user.uid !== undefined && user.gid !== undefined) chownSync(directory, user.uid, user.gid);
  const data = join(directory, 'data');
  const options = ['-D', data, '-U', 'wherry', '-A', 'trust', '-N', '--no-instructions'];
  execFileSync(join(programs, 'initdb'), options, { stdio: 'ignore', cwd: '/', ...user });
  let server: ChildProcess | undefined;
  const reap = () => server?.kill('SIGQUIT');
  process.once('exit', reap);
  const signalAll = (signal: NodeJS.Signals): void => {
    const pid = server?.pid;
    if (pid === undefined) throw new Error('PostgreSQL does not run');
    // Its children are the processes of the connections, and those that write.
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    for (const each of [pid, ...children.map(Number)]) process.kill(each, signal);
  };
  return {
    url: `postgres://wherry@localhost/postgres?host=${encodeURIComponent(directory)}`,
    async start() {
      const settings = [
        'listen_addresses=',
        `unix_socket_directories=${directory}`,
        'fsync=off',
        'shared_buffers=1MB',
      ];
      const child = (server = spawn(
        join(programs, 'postgres'),
        ['-D', data, ...settings.flatMap((setting) => ['-c', setting])],
        { stdio: ['ignore', 'ignore', 'pipe'], cwd: '/', ...user },
      ));
      await readyServer(child, 'PostgreSQL', 'ready to accept connections');
    },
    async kill() {
      const child = server;
      server = undefined;
      if (child?.exitCode !== null || child.signalCode !== null) return;
      // Immediate shutdown: no checkpoint, recovery at the next start.
      child.kill('SIGQUIT');
      await once(child, 'exit');
    },
    async crash() {
      const child = server;
      if (child === undefined) throw new Error('PostgreSQL does not run');
      const ended = once(child, 'exit');
      signalAll('SIGKILL');
      server = undefined;
      await ended;
    },
    freeze: () => signalAll('SIGSTOP'),
    thaw: () => signalAll('SIGCONT'),
    async remove() {
      await this.kill();
      process.off('exit', reap);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
