import { execFile, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';

const call = promisify(execFile);
const script = resolve(import.meta.dirname, '../../../cross/debian/attach-network');

let directory: string;
let server: Server;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-attach-'));
  mkdirSync(at('run/attachments'), { recursive: true });
  mkdirSync(at('staged'));
  server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  server.close();
  rmSync(directory, { recursive: true });
});

const at = (...names: string[]): string => join(directory, ...names);
const words = (act: string): readonly string[] => [
  ...[script, act, at('run'), at('staged'), 'pod-id', at('netns'), 'bridge', 'web', '-'],
];
/** The line of a host port that another process uses. */
const takenPort = (): string => {
  const { port } = server.address() as AddressInfo;
  return `tcp ${port} ${port.toString(16).toUpperCase().padStart(4, '0')} - http\n`;
};
const failure = (): string => readFileSync(at('run/attachments/pod-id.failure'), 'utf8');

it('keeps the reason of its failure while it retries [C113]', async () => {
  writeFileSync(at('staged/ports'), takenPort());
  await expect(call('/bin/sh', words('up'))).rejects.toMatchObject({ code: 1 });
  const message = /^pod-port-taken pod web: ports\/http\/hostPort: .* is taken by a process of the host/;
  expect(failure()).toMatch(message);

  rmSync(at('staged/ports'));
  await call('mkfifo', [at('staged/ports')]);
  const again = spawn('/bin/sh', words('up'), { stdio: 'ignore' });
  // Opened as soon as the script reads the ports, after it has begun to attach.
  const ports = await open(at('staged/ports'), 'w');
  expect(failure()).toMatch(message);
  again.kill('SIGKILL');
  await once(again, 'exit');
  await ports.close();
});

it('refuses a UDP port that a process of the host has [C113]', async () => {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  writeFileSync(at('staged/ports'), `udp ${port} ${hex} 0100007F talk\n`);
  await expect(call('/bin/sh', words('up'))).rejects.toMatchObject({ code: 1 });
  socket.close();
  expect(failure()).toBe(
    `pod-port-taken pod web: ports/talk/hostPort: ${port}/udp is taken by a process of the host; stop it or choose another port\n`,
  );
});

it('reports the plugin that was running when it took too long [C245]', async () => {
  mkdirSync(at('run/attachments/pod-id'));
  mkdirSync(at('run/names'));
  writeFileSync(at('run/attachments/pod-id/network'), 'lan -\n');
  writeFileSync(at('run/attachments/pod-id/plugin'), 'dhcp\n');
  const down = (result: string) =>
    call('/bin/sh', words('down'), { env: { ...process.env, SERVICE_RESULT: result } });
  await down('timeout');
  expect(failure()).toBe(
    'pod-network-failed pod web: the plugin dhcp did not attach the network bridge in time\n',
  );
  expect(existsSync(at('run/attachments/pod-id'))).toBe(false);
});
