import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePort } from '../../../../qemu/free-port.ts';
import { main } from '../../../../src/cli/main.ts';
import { startEmbeddedBroker, type EmbeddedBroker } from '../../../../src/operator/dev/embedded-broker.ts';
import { recordingTerminal, wherry } from '../../../support/recording-terminal.ts';
import { until } from '../../../support/system-clock.ts';

let directory: string;
let broker: EmbeddedBroker;
let refusing: Server | undefined;
const fleet = () => ['--fleet', join(directory, 'fleet')];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-refusing-'));
  broker = await startEmbeddedBroker({ host: '127.0.0.1', port: await freePort() });
  await wherry([...fleet(), 'fleet', 'init', 'harbour', '--broker', broker.url]);
});
afterEach(() => {
  refusing?.close();
  rmSync(directory, { recursive: true });
});

describe('a broker that no longer accepts the operator', () => {
  it.each([
    [['fleet', 'status', '--watch'], 'devices'],
    [['status', '--watch'], ''],
    [['fleet', 'events'], 'waiting for events'],
  ])('ends %j with its reason', async (args, begins) => {
    const { terminal, out, err } = recordingTerminal();
    const ended = main([...fleet(), ...args], {}, terminal);
    await until(() => (out() + err()).includes(begins) && out() + err() !== '');
    await broker.close();
    // CONNACK with return code 5, not authorized (MQTT 3.1.1, table 3.1).
    refusing = createServer((socket) => socket.once('data', () => socket.end(Buffer.from([0x20, 2, 0, 5]))));
    await once(refusing.listen(Number(new URL(broker.url).port), '127.0.0.1'), 'listening');
    expect(await ended).toBe(69);
    expect(err()).toMatch(/\(broker-refused\)\n$/);
  });
});

describe('simulated devices', () => {
  it.each([
    [['--prefix', 'A_B'], '--prefix takes lower-case words'],
    [['--broker', 'http://broker'], '--broker takes mqtt://HOST:PORT'],
  ])('that cannot be made of %j end the command', async (args, words) => {
    const ran = await wherry([...fleet(), 'sim', '3', ...args]);
    expect(ran).toMatchObject({ status: 64, err: expect.stringContaining(words) as string });
    await broker.close();
  });
});
