import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endWhenIdle } from '../../../src/device/host/index.ts';

const idleMs = 40;

describe('a socket-activated program that ends when idle', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'wherry-idle-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  async function idleServer(name: string) {
    const path = join(directory, name);
    const server = createServer((socket) => socket.end('answer'));
    endWhenIdle(server, idleMs);
    server.listen(path);
    await once(server, 'listening');
    return { server, path };
  }

  it('ends without a connection', async () => {
    const { server } = await idleServer('none');
    await once(server, 'close');
    expect(server.listening).toBe(false);
  });

  it('answers what came while the whole process stood still for longer', async () => {
    const { server, path } = await idleServer('pause');
    await new Promise(setImmediate); // Node's loop comes to its timers next
    const client = connect(path); // in the queue of the kernel
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4 * idleMs);
    const [answer] = (await once(client, 'data')) as [Buffer];
    expect(answer.toString()).toBe('answer');
    await once(server, 'close');
  });
});
