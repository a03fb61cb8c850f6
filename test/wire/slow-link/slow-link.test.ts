import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../../support/system-clock.ts';

/** Whether a program may have its own /etc/hosts. */
const canHide = spawnSync('unshare', ['-rm', 'true']).status === 0;

let directory: string;
const children: ChildProcess[] = [];
const fillers: Socket[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-slow-'));
});
afterEach(async () => {
  for (const socket of fillers.splice(0)) socket.destroy();
  for (const child of children.splice(0)) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  rmSync(directory, { recursive: true });
});

function start(...command: readonly [string, ...string[]]): {
  child: ChildProcess;
  line: () => Promise<string>;
} {
  const [program, ...args] = command;
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const line = async (): Promise<string> => String((await once(child.stdout, 'data'))[0]).trim();
  return { child, line };
}

/** The handshakes with the server that are not answered yet (proc_net_tcp.txt, state 2). */
function unanswered(port: number): number {
  const to = ` 0200007F:${port.toString(16).toUpperCase().padStart(4, '0')} 02 `;
  return readFileSync('/proc/net/tcp', 'utf8').split(to).length - 1;
}

/** Connects until the kernel no longer answers for the server. */
async function fill(port: number): Promise<void> {
  while (unanswered(port) === 0) {
    const socket = connect(port, '127.0.0.2');
    fillers.push(socket);
    let isTaken = false;
    socket.on('error', () => undefined).once('connect', () => (isTaken = true));
    await until(() => isTaken || unanswered(port) > 0);
  }
}

describe.runIf(canHide)('a name with a slow and a dead address', () => {
  it.each(['mqtt', 'http'])(
    '[C374] is reached over %s, although the handshake takes a second',
    async (scheme) => {
      const server = start(process.execPath, join(import.meta.dirname, 'server.mjs'));
      const port = Number(await server.line());
      // A stopped server accepts nothing. When its queue is full, the kernel drops the first packet
      // of a handshake, and the client sends it again after a second.
      server.child.kill('SIGSTOP');
      await fill(port);
      const before = unanswered(port);
      const hosts = join(directory, 'hosts');
      writeFileSync(hosts, '127.0.0.1 localhost\n127.0.0.2 slow.test\n127.0.0.3 slow.test\n');
      const node = `${process.execPath} --import tsx ${join(import.meta.dirname, 'dial.ts')}`;
      const own = `mount --bind ${hosts} /etc/hosts && exec ${node} ${scheme}://slow.test:${port}`;
      const dialling = start('unshare', '-rm', 'sh', '-c', own);
      expect(await dialling.line()).toBe('dialling');
      const end = dialling.line();
      await until(() => unanswered(port) > before);
      server.child.kill('SIGCONT');
      expect(await end).toBe('connected');
    },
  );
});
