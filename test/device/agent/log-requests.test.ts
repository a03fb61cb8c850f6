import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { rememberRequest } from '../../../src/device/agent/asked-before.ts';
import { LogRequests, type LogRequestPorts } from '../../../src/device/agent/log-requests.ts';
import { streamLog } from '../../../src/device/agent/log-stream.ts';
import { sourceOf } from '../../../src/device/agent/log-source.ts';
import { DeviceSession } from '../../../src/device/session/index.ts';
import { type Connection, MqttTransport } from '../../../src/wire/mqtt/index.ts';
import {
  decodeLogAnswer,
  deviceTopics,
  type LogAnswer,
  type LogEnd,
} from '../../../src/wire/report/index.ts';
import type { LogRequest } from '../../../src/wire/trust/index.ts';
import { examineLogRequest } from '../../../src/wire/trust/openpgp.ts';
import type { GeneratedKey } from '../../../src/wire/trust/sign.ts';
import { logRequest, publishRequest } from '../../support/log-requests.ts';
import { issued, makeKey } from '../../support/operator.ts';
import { aedesBroker, type RealBroker } from '../../support/real-brokers.ts';
import { systemClock } from '../../../src/core/ports/index.ts';
import { until } from '../../support/system-clock.ts';

/** A device on a real broker. A program replaces journalctl. */

const topics = deviceTopics('farm', 'pump-1');
let operator: GeneratedKey;
let attacker: GeneratedKey;
beforeAll(async () => {
  operator = await makeKey('operator');
  attacker = await makeKey('attacker');
});

let directory: string;
let broker: RealBroker;
let ends: (() => Promise<void>)[];
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-logs-'));
  broker = await aedesBroker();
  await broker.start();
  ends = [];
});
afterEach(async () => {
  for (const end of ends.reverse()) await end();
  await broker.kill();
  rmSync(directory, { recursive: true });
});

/** The wall clock is fixed five seconds after the issue of the requests. */
const startedMs = systemClock.monotonicMs();
const clock = {
  ...systemClock,
  nowMs: () => (issued + 5) * 1000 + systemClock.monotonicMs() - startedMs,
};

async function device(program: readonly string[], change: Partial<LogRequestPorts> = {}) {
  const journal: string[] = [];
  const log = { log: (_level: string, message: string) => void journal.push(message) };
  const session = new DeviceSession({
    ...{ fleet: 'farm', device: 'pump-1', bootId: 'boot-a', asks: true, clock, journal: log },
    transport: new MqttTransport({ url: broker.url, version: 4 }),
    policy: { bootSpreadMs: 0 },
  });
  let examinations = 0;
  const requests = new LogRequests({
    ...{ clock, journal: log, pods: ['web'] },
    open: () => sourceOf(program),
    publish: (payload) => session.publishLog(payload),
    remember: (id, { expires }) =>
      rememberRequest(join(directory, 'asked'), { id, expires, nowSeconds: issued + 5 }),
    examine: async (message) => {
      examinations += 1;
      const time = { nowSeconds: Math.floor(clock.nowMs() / 1000), clockTrusted: true };
      const terms = { fleet: 'farm', device: 'pump-1', boot: 'boot-a', time };
      return (await examineLogRequest(message, { keys: [operator.publicKey], ...terms })).request;
    },
    ...change,
  });
  session.onAsk((message) => requests.receive(message));
  let isUp = false;
  session.onConnection(({ up }) => (isUp = up));
  session.start();
  ends.push(async () => {
    await requests.close();
    await session.close();
  });
  await until(() => isUp);
  const answers: LogAnswer[] = [];
  const connection = await new MqttTransport({ url: broker.url, version: 4 }).connect({
    ...{ clientId: `operator-${ends.length}`, keepaliveSeconds: 60 },
    onMessage: ({ payload }) => void answers.push(decodeLogAnswer(payload)),
  });
  ends.push(() => connection.close());
  await connection.subscribe([topics.log]);
  return {
    ...{ answers, journal, requests, connection, examined: () => examinations },
    ask: (message: Uint8Array) => publish(connection, message),
    end: async (count = 1) => {
      await until(() => endsIn(answers).length >= count);
      return endsIn(answers)[count - 1];
    },
  };
}

const publish = (connection: Connection, payload: Uint8Array): Promise<void> =>
  connection.publish({ topic: topics.ask, payload }, { retain: false });
const endsIn = (answers: readonly LogAnswer[]): readonly LogEnd[] =>
  answers.flatMap((answer) => ('end' in answer ? [answer] : []));
const textOf = (answers: readonly LogAnswer[]): string =>
  Buffer.concat(answers.flatMap((answer) => ('text' in answer ? [answer.text] : []))).toString();
/** Prints this many bytes, `0123456789…`. */
const printing = (bytes: number): readonly string[] => ['sh', '-c', `yes 012345678 | head -c ${bytes}`];
const signed = (change: Partial<LogRequest> = {}): Promise<Uint8Array> =>
  publishRequest({ ...logRequest, ...change }, operator);

describe('a request for logs', () => {
  it('[C233] is answered in numbered chunks, with an end that counts', async () => {
    const { answers, ask, end } = await device(printing(30_000));
    await ask(await signed());
    expect(await end()).toMatchObject({ end: 'complete', sentBytes: 30_000, leftOutBytes: 0 });
    expect(textOf(answers)).toBe('012345678\n'.repeat(3000));
    expect(answers.map(({ seq }) => seq)).toEqual(answers.map((_answer, at) => at));
    for (const answer of answers) if ('text' in answer) expect(answer.text.length).toBeLessThanOrEqual(8192);
  });

  it('[C233] ends at its limit, and reports how much it left out', async () => {
    const { answers, ask, end } = await device(printing(50_000));
    await ask(await signed({ limitBytes: 9_000 }));
    expect(await end()).toMatchObject({ end: 'limit', sentBytes: 9_000, leftOutBytes: 41_000 });
    expect(textOf(answers)).toHaveLength(9_000);
  });

  it('[C233] ends at its deadline, although the pod keeps writing', async () => {
    const sleeps: number[] = [];
    let passTime = (): void => undefined;
    const deadline = new Promise<void>((resolve) => (passTime = resolve));
    const sleep = (ms: number, signal?: AbortSignal): Promise<void> => {
      if (ms < 60_000) return clock.sleep(ms, signal);
      sleeps.push(ms);
      return deadline;
    };
    const { answers, ask, end } = await device(['sh', '-c', 'echo first; exec sleep 600'], {
      clock: { ...clock, sleep },
    });
    await ask(await signed({ follow: true }));
    await until(() => textOf(answers) === 'first\n');
    // The request ends ten minutes after its issue, which was at least five seconds ago.
    expect(sleeps.every((ms) => ms <= 595_000)).toBe(true);
    expect(sleeps).toHaveLength(1);
    passTime();
    expect(await end()).toMatchObject({ end: 'deadline', sentBytes: 6 });
    expect(textOf(answers)).toBe('first\n');
  });

  it('[C373] is answered no longer than was requested by a device whose clock is behind', async () => {
    const sleeps: number[] = [];
    const behind = {
      ...clock,
      nowMs: () => (issued - 900) * 1000,
      sleep: (ms: number, signal?: AbortSignal) => {
        if (ms >= 60_000) sleeps.push(ms);
        return clock.sleep(ms, signal);
      },
    };
    const { ask, end } = await device(printing(10), { clock: behind });
    await ask(await signed());
    expect(await end()).toMatchObject({ end: 'complete' });
    expect(sleeps).toEqual([600_000]);
  });

  it('[C233] ends on an empty message and on a newer request', async () => {
    const { answers, ask, end } = await device(['sh', '-c', 'echo first; exec sleep 600']);
    await ask(await signed({ follow: true }));
    await until(() => textOf(answers) === 'first\n');
    await ask(await signed({ follow: true, lines: 1 }));
    expect(await end()).toMatchObject({ end: 'superseded' });
    await until(() => textOf(answers) === 'first\nfirst\n');
    await ask(new Uint8Array());
    expect(await end(2)).toMatchObject({ end: 'stopped' });
  });

  it('[C233] reads no more than the broker accepts', async () => {
    let taken = 0;
    const { requests } = await device(['yes'], {
      publish: () => new Promise((resolve) => setImmediate(() => resolve(++taken < 50))),
    });
    const before = process.memoryUsage().arrayBuffers;
    requests.receive(await signed({ follow: true, limitBytes: 1 << 20 }));
    await until(() => taken === 50 && !requests.busy);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 << 20);
  });

  it('[C233] reports a journal that cannot be read', async () => {
    const { ask, end } = await device(['sh', '-c', 'echo no journal files >&2; exit 1']);
    await ask(await signed());
    const why = { code: 'device-unsupported', message: 'the journal cannot be read: no journal files' };
    expect(await end()).toMatchObject({ end: 'failed', ...why });
  });

  it('[C234] is refused for a pod that the configuration does not name', async () => {
    const { answers, ask, end } = await device(printing(10), { pods: ['db'] });
    await ask(await signed());
    expect(await end()).toMatchObject({ end: 'refused', code: 'log-forbidden' });
    expect(textOf(answers)).toBe('');
  });

  it('[C232] is refused when replayed, also by a restarted wherryd', async () => {
    const message = await signed();
    const first = await device(printing(10));
    await first.ask(message);
    expect(await first.end()).toMatchObject({ end: 'complete' });
    await first.ask(message);
    expect(await first.end(2)).toMatchObject({ end: 'refused', code: 'request-replayed' });
    await first.requests.close();
    const restarted = await device(printing(10));
    await restarted.ask(message);
    expect(await restarted.end()).toMatchObject({ end: 'refused', code: 'request-replayed' });
    expect(textOf(restarted.answers)).toBe('');
  });

  it('[C235] a flood of requests costs few examinations and few answers', async () => {
    const at = clock.nowMs();
    const { answers, journal, requests, ask, examined } = await device(printing(10), {
      clock: { ...clock, nowMs: () => at },
    });
    const strange = await publishRequest(logRequest, attacker);
    for (let sent = 0; sent < 300; sent++)
      await ask(sent % 2 === 0 ? strange : Buffer.from(`rubbish ${sent}`));
    // The broker has all of them. The device may still be processing them.
    await until(() => examined() >= 10);
    await requests.close();
    expect(examined()).toBe(10);
    expect(answers.length).toBeLessThanOrEqual(30);
    expect(journal.filter((line) => line.includes('refused')).length).toBeLessThanOrEqual(30);
  });
});

describe('a request whose pod writes without an end', () => {
  it('[C233] is read no further than needed to report that much was left out', async () => {
    let pieces = 0;
    let isClosed = false;
    const source = {
      next: () => {
        pieces += 1;
        return Promise.resolve(isClosed || pieces > 100 ? undefined : Buffer.alloc(1 << 20));
      },
      close: () => void (isClosed = true),
    };
    const answers: LogAnswer[] = [];
    const ports = {
      ...{ clock, open: () => source },
      publish: (payload: Uint8Array) => Promise.resolve(answers.push(decodeLogAnswer(payload)) > 0),
    };
    const never = new AbortController().signal;
    const request = { ...logRequest, limitBytes: 10 };
    expect(await streamLog(request, '0'.repeat(64), ports, never)).toBe('limit');
    expect(pieces).toBeLessThan(20);
    expect(textOf(answers)).toHaveLength(10);
  });
});

describe('a request under examination when wherryd stops', () => {
  it('is neither remembered nor answered', async () => {
    const done: string[] = [];
    let finish: ((request: LogRequest) => void) | undefined;
    const requests = new LogRequests({
      ...{ clock, pods: ['web'], journal: { log: () => undefined } },
      open: () => {
        done.push('opened');
        return { next: () => Promise.resolve(undefined), close: () => undefined };
      },
      publish: () => Promise.resolve(done.push('published') > 0),
      remember: () => Promise.resolve(done.push('remembered') > 0),
      examine: () => new Promise<LogRequest>((resolve) => (finish = resolve)),
    });
    requests.receive(await publishRequest(logRequest, operator));
    await until(() => finish !== undefined);
    const closed = requests.close();
    finish?.(logRequest);
    await closed;
    expect(done).toEqual([]);
  });
});

describe('records of answered requests', () => {
  const mark = (id: string, expires: number, nowSeconds: number) =>
    rememberRequest(join(directory, 'asked'), { id: id.padEnd(64, '0'), expires, nowSeconds });

  it('[C232] are kept a day beyond the deadline, and are at most 256', async () => {
    for (let index = 0; index < 256; index++) expect(await mark(`a${index}-`, 1000, 500)).toBe(true);
    expect(await mark('a0-', 1000, 80_000)).toBe(false);
    expect(await mark('b', 1000, 80_000)).toBe(false);
    expect(await mark('b', 90_000, 1000 + 86_400)).toBe(true);
  });
});
