import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { fleetLogs } from '../../../../src/cli/commands/operator/fleet-logs.ts';
import { systemClock } from '../../../../src/core/ports/index.ts';
import { LogRequests } from '../../../../src/device/agent/log-requests.ts';
import { sourceOf } from '../../../../src/device/agent/log-source.ts';
import { DeviceSession } from '../../../../src/device/session/index.ts';
import { startEmbeddedBroker, type EmbeddedBroker } from '../../../../src/operator/dev/embedded-broker.ts';
import { MqttTransport } from '../../../../src/wire/mqtt/index.ts';
import type { LogRequest } from '../../../../src/wire/trust/index.ts';
import { examineLogRequest } from '../../../../src/wire/trust/openpgp.ts';
import { generateKey } from '../../../../src/wire/trust/sign.ts';
import { recordingTerminal, wherry, type Run } from '../../../support/recording-terminal.ts';
import { fullReports, sampleReport } from '../../../support/sample-messages.ts';
import { until } from '../../../support/system-clock.ts';
import { main } from '../../../../src/cli/main.ts';

const directory = mkdtempSync(join(tmpdir(), 'wherry-fleet-logs-'));
const fleet = join(directory, 'fleet');
const run = (...args: string[]): Promise<Run> => wherry(['--fleet', fleet, ...args]);
let broker: EmbeddedBroker;
const ends: (() => Promise<void>)[] = [];

beforeAll(async () => {
  broker = await startEmbeddedBroker({ host: '127.0.0.1', port: 0 });
  expect(await run('fleet', 'init', 'harbour', '--broker', broker.url)).toMatchObject({ status: 0 });
});
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});
afterAll(async () => {
  await broker.close();
  rmSync(directory, { recursive: true });
});

/** A device that answers with the output of a program. */
async function device(
  name: string,
  program: readonly string[],
  hears = true,
  role?: { readonly keys: readonly string[]; readonly threshold: number },
): Promise<LogRequest[]> {
  const asked: LogRequest[] = [];
  const journal = { log: () => undefined };
  const session = new DeviceSession({
    ...{ fleet: 'harbour', device: name, bootId: 'boot-a', asks: hears, clock: systemClock, journal },
    transport: new MqttTransport({ url: broker.url, version: 4 }),
    policy: { bootSpreadMs: 0 },
  });
  const { out: key } = await run('keys', 'export', 'deploy');
  const requests = new LogRequests({
    ...{ clock: systemClock, journal, pods: ['web'], open: () => sourceOf(program) },
    publish: (payload) => session.publishLog(payload),
    remember: () => Promise.resolve(true),
    examine: async (message) => {
      const time = { nowSeconds: Math.floor(Date.now() / 1000) + 1, clockTrusted: true };
      const terms = { keys: [key], ...role, fleet: 'harbour', device: name, boot: 'boot-a', time };
      const { request } = await examineLogRequest(message, terms);
      asked.push(request);
      return request;
    },
  });
  session.onAsk((message) => requests.receive(message));
  const capabilities = hears ? [{ name: 'log-requests', available: true, detail: 'pods: web' }] : [];
  const pods = fullReports[0]?.pods ?? []; // the pod web
  session.publishReport(sampleReport({ device: name, capabilities, pods }));
  session.start();
  await until(() => session.traffic?.hasUnsent === false);
  ends.push(async () => {
    await requests.close();
    await session.close();
  });
  return asked;
}

describe('wherry fleet logs', () => {
  it('[C231] prints what a pod wrote, and reports how much was left out', async () => {
    const asked = await device('crane-1', [
      'sh',
      '-c',
      'printf "\\033[1;31mfirst\\033[0m\\nsecond \\033[2J\\nthird\\n"',
    ]);
    const all = await run(
      'fleet',
      'logs',
      'crane-1',
      'web',
      'nginx',
      '--since',
      '15m',
      '-n',
      '5',
      '--for',
      '1m',
    );
    expect(all).toMatchObject({ status: 0, out: 'first\nsecond \uFFFD[2J\nthird\n' });
    expect(all.err).toContain('that is all: 35 bytes');
    const [request] = asked;
    expect(request).toMatchObject({ pod: 'web', app: 'nginx', lines: 5, limitBytes: 256 << 10 });
    expect((request?.expires ?? 0) - (request?.issued ?? 0)).toBe(60);
    expect((request?.issued ?? 0) - (request?.since ?? 0)).toBe(900);

    const some = await run('--json', 'fleet', 'logs', 'crane-1', 'web', '--limit', '8');
    expect(
      some.out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([{ line: 'f' }, { end: 'limit', sentBytes: 8, leftOutBytes: 27 }]);
  });

  it('[C233] ends the answer of the device when it is interrupted', async () => {
    await device('crane-2', ['sh', '-c', 'echo first; exec sleep 600']);
    const { terminal, stop, out, err } = recordingTerminal();
    // Without `main`, which waits only one second.
    const context = { terminal, clock: systemClock, fleetPath: fleet, json: false };
    const flags = { follow: true, limit: 256 << 10, for: 600 } as const;
    const done = fleetLogs(context, ['crane-2', 'web', undefined], flags);
    await until(() => out() === 'first\n');
    stop();
    await done;
    expect(err()).toContain('ended: 6 bytes');
  });

  it.each([
    ['crane-3', 'db', 'log-forbidden', 'logs of the pod db are not sent'],
    ['crane-4', 'web', 'log-forbidden', 'name the pods in the key logs.remote_pods'],
    ['crane-5', 'web', 'not-found', 'the broker returned no report of crane-5'],
  ])('[C234] says why %s does not send logs of %s', async (name, pod, code, words) => {
    if (name !== 'crane-5') await device(name, ['true'], name === 'crane-3');
    const { status, err } = await run('fleet', 'logs', name, pod);
    expect(err).toContain(words);
    expect(err).toContain(code);
    expect(status).toBe(code === 'not-found' ? 64 : 77);
  });

  it('[C232] sends a request with two signatures if commands need two', async () => {
    const at = (...names: string[]): string => join(directory, ...names);
    const of = (...args: string[]): Promise<Run> => wherry(['--fleet', at('twice'), ...args]);
    expect(await of('fleet', 'init', 'harbour', '--broker', broker.url)).toMatchObject({ status: 0 });
    for (const name of ['alice', 'bob', 'stranger']) {
      const { publicKey, privateKey } = await generateKey({ name });
      writeFileSync(at(`${name}.asc`), publicKey);
      writeFileSync(at(`${name}.key.asc`), privateKey);
    }
    const signedBy = (name: string): string[] => ['--signing-key', at(`${name}.key.asc`)];
    const roles = [
      '--root-key',
      at('alice.asc'),
      '--deploy-key',
      at('alice.asc'),
      '--deploy-key',
      at('bob.asc'),
    ];
    expect(await of('trust', 'root', 'init', ...roles, '--deploy-threshold', '2')).toMatchObject({
      status: 0,
    });
    expect(await of('trust', 'root', 'sign', ...signedBy('alice'))).toMatchObject({ status: 0 });
    const keys = ['alice', 'bob'].map((name) => readFileSync(at(`${name}.asc`), 'utf8'));
    const asked = await device('crane-7', ['echo', 'first'], true, { keys, threshold: 2 });

    const ask = ['fleet', 'logs', 'crane-7', 'web', ...signedBy('alice')];
    expect((await of(...ask)).err).toMatch(/2 different keys must sign; .*--sign-only -o FILE.*countersign/);
    expect(await of(...ask, '--sign-only')).toMatchObject({ status: 64 });
    const file = at('ask.cbor');
    expect(await of(...ask, '--for', '1h', '--sign-only', '-o', file)).toMatchObject({ status: 0, err: '' });
    expect((await of('countersign', file, ...signedBy('stranger'))).err).toMatch(/key-unknown/);
    expect(asked).toEqual([]);
    const told = await of('countersign', file, ...signedBy('bob'));
    expect(told).toMatchObject({ status: 0, out: 'first\n' });
    expect(told.err).toMatch(/^crane-7: logs of the pod web, at most 262144 bytes, within \d+ s\n/);
    expect(asked).toHaveLength(1);

    expect(await of(...ask, '--for', '1s', '--sign-only', '-o', file)).toMatchObject({ status: 0 });
    const overMs = Date.now() + 1000;
    await until(() => Date.now() > overMs);
    const late = await of('countersign', file, ...signedBy('bob'));
    expect(late.err).toMatch(/expired \d+ s ago; make another one, with a longer --for.*expired/);
  });

  it('[C373] stops an answer that lasts longer than was requested', async () => {
    await device('crane-7', ['sh', '-c', 'echo first; exec sleep 600']);
    const sizes: number[] = [];
    const listener = await new MqttTransport({ url: broker.url, version: 4 }).connect({
      ...{ clientId: 'listener', keepaliveSeconds: 60 },
      onMessage: ({ payload }) => void sizes.push(payload.length),
    });
    await listener.subscribe(['v1/harbour/d/crane-7/ask']);
    let passTime = (): void => undefined;
    const late = new Promise<void>((resolve) => (passTime = resolve));
    const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
      ms === 630_000 ? late : systemClock.sleep(ms, signal);
    const { terminal, out } = recordingTerminal();
    const context = { terminal, clock: { ...systemClock, sleep }, fleetPath: fleet, json: false };
    const flags = { follow: true, limit: 256 << 10, for: 600 } as const;
    const done = fleetLogs(context, ['crane-7', 'web', undefined], flags);
    await until(() => out() === 'first\n');
    passTime();
    await expect(done).rejects.toMatchObject({ code: 'not-confirmed' });
    await until(() => sizes.length === 2);
    expect(sizes[1]).toBe(0);
    await listener.close();
  });

  it('[C373] notes that the device reports no such pod', async () => {
    await device('crane-8', ['true']);
    const { err } = await run('fleet', 'logs', 'crane-8', 'wbe');
    expect(err).toMatch(/^note: crane-8 reports no pod wbe; its pods: web$/m);
  });

  it('shows what has arrived when the broker stops, and that it is incomplete', async () => {
    await device('crane-6', ['sh', '-c', 'printf "first\\nsec"; exec sleep 600']);
    const { terminal, out, err } = recordingTerminal();
    const done = main(['--fleet', fleet, 'fleet', 'logs', 'crane-6', 'web', '--follow'], {}, terminal);
    await until(() => out() === 'first\n');
    await broker.close();
    expect(await done).toBe(69);
    expect(out()).toBe('first\nsec\n');
    expect(err()).toMatch(
      /no connection to the broker: .*; the answer of crane-6 has not ended, .*send the request again/,
    );
    broker = await startEmbeddedBroker({ host: '127.0.0.1', port: 0 });
  });
});
