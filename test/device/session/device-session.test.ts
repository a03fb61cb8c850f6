import { describe, expect, it } from 'vitest';
import { Refusal } from '../../../src/core/refusal/index.ts';
import { ConnectionLost } from '../../../src/wire/mqtt/transport.ts';
import { decodePresence, encodePresence } from '../../../src/wire/report/index.ts';
import { decodeEvent, decodeReport } from '../../../src/wire/report/report-codec.ts';
import { DeviceSession } from '../../../src/device/session/device-session.ts';
import type { ConnectionState } from '../../../src/device/session/session-options.ts';
import {
  keepaliveSeconds,
  type ReconnectPolicy,
  seededFraction,
} from '../../../src/device/session/reconnect-policy.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { MemoryBroker } from './memory-broker.ts';
import { telemetryOf } from '../../../src/device/agent/readings.ts';
import { decodeTelemetry } from '../../../src/wire/report/telemetry.ts';
import { sampleReadings } from '../../support/sample-readings.ts';
import { sampleEvent, sampleReport } from '../../support/sample-messages.ts';

const base = 'v1/harbour/d/crane-7';
const minute = 60_000;

function device(
  broker = new MemoryBroker(),
  policy: Partial<ReconnectPolicy> = { bootSpreadMs: 0 },
  groups: readonly string[] = [],
  clientId?: string,
) {
  const clock = new FakeClock();
  const states: ConnectionState[] = [];
  const desired: string[] = [];
  const debug: string[] = [];
  const logged: [string, unknown][] = [];
  const session = new DeviceSession({
    fleet: 'harbour',
    device: 'crane-7',
    groups,
    ...(clientId === undefined ? {} : { clientId }),
    bootId: 'boot-a',
    transport: broker.transport(),
    clock,
    journal: {
      log: (level, message, fields) => {
        if (level === 'debug') debug.push(message);
        else logged.push([message, fields]);
      },
    },
    policy,
  });
  session.onConnection((state) => states.push(state));
  session.onDesired((bytes, group) =>
    desired.push([...(group === undefined ? [] : [`${group}:`]), Buffer.from(bytes)].join(' ')),
  );
  return { broker, clock, session, states, desired, debug, logged };
}

function denied(topic: string) {
  return { topic, loss: new ConnectionLost('credentials', `not authorized to publish on ${topic}`) };
}

function presence(broker: MemoryBroker) {
  const payload = broker.retained.get(`${base}/live`);
  return payload && decodePresence(payload);
}

describe('a device session', () => {
  it('[C3] publishes that it is up, requests the desired state and reports, on each connection', async () => {
    const { broker, clock, session } = device();
    session.publishReport(sampleReport());
    session.start();
    await settle();
    const greeting = [`${base}/live (retained)`, `${base}/get`, `${base}/reported (retained)`];
    expect([...broker.log].sort()).toEqual([...greeting].sort());
    expect(broker.log[0]).toBe(`${base}/live (retained)`);

    broker.dropAll('closed', false);
    broker.log.length = 0;
    await clock.pass(minute);
    expect([...broker.log].sort()).toEqual([...greeting].sort());
    expect(presence(broker)).toEqual({ format: 1, bootId: 'boot-a', connection: 2, up: true });
  });

  it('[C250] repeats its report after a second command on a connection, and not after the first', async () => {
    const { broker, session } = device();
    session.publishReport(sampleReport());
    session.onDesired(() => session.repeatReport());
    session.start();
    await settle();
    const reports = () => broker.log.filter((line) => line.startsWith(`${base}/reported`));
    const command = async () => {
      broker.publish({ topic: `${base}/desired`, payload: Buffer.from('1'), retain: true });
      await settle();
    };
    expect(session.traffic?.hasCommand).toBe(false);
    await command();
    expect(session.traffic?.hasCommand).toBe(true);
    expect(reports()).toHaveLength(1);
    await command();
    expect(reports()).toHaveLength(2);
  });

  it('[C174] receives the commands of its groups only', async () => {
    const { broker, session, desired } = device(undefined, undefined, ['kitchen', 'floor-2']);
    for (const group of ['kitchen', 'floor-2', 'roof']) {
      const payload = Buffer.from(`for ${group}`);
      broker.publish({ topic: `v1/harbour/group/${group}/desired`, payload, retain: true });
    }
    session.start();
    await settle();
    expect(desired).toEqual(['kitchen: for kitchen', 'floor-2: for floor-2']);
    expect(session.traffic?.hasCommand).toBe(false);
    broker.publish({ topic: `${base}/desired`, payload: Buffer.from('own'), retain: true });
    broker.publish({ topic: 'v1/harbour/group/kitchen/desired', payload: new Uint8Array(), retain: false });
    expect(desired.slice(2)).toEqual(['own']);
  });

  it('[C177] requests the commands of all targets again', async () => {
    const { broker, session, desired } = device(undefined, undefined, ['kitchen']);
    broker.publish({ topic: `${base}/desired`, payload: Buffer.from('own'), retain: true });
    const topic = 'v1/harbour/group/kitchen/desired';
    broker.publish({ topic, payload: Buffer.from('all'), retain: true });
    session.start();
    await settle();
    session.askForCommands();
    await settle();
    expect(desired).toEqual(['own', 'kitchen: all', 'own', 'kitchen: all']);
  });

  it('[C85] awaits one version of the root on every connection, and requests the command again', async () => {
    const { broker, clock, session, desired } = device();
    const roots: string[] = [];
    session.onRoot((version, bytes) => roots.push(`${version} ${Buffer.from(bytes).toString()}`));
    broker.retained.set('v1/harbour/root/2', Buffer.from('two'));
    broker.retained.set('v1/harbour/root/3', Buffer.from('three'));
    broker.retained.set(`${base}/desired`, Buffer.from('command'));
    session.start();
    await settle();
    expect(broker.subscriptions).not.toContain('v1/harbour/root/2');
    session.awaitRoot(2);
    await settle();
    expect(roots).toEqual(['2 two']);
    expect(desired).toEqual(['command', 'command']);
    session.awaitRoot(3);
    await settle();
    expect(roots).toEqual(['2 two', '3 three']);
    // A message on the topic of an earlier root has no effect.
    broker.publish({ topic: 'v1/harbour/root/2', payload: Buffer.from('old'), retain: true });
    broker.dropAll('closed', false);
    await clock.pass(minute);
    expect(roots).toEqual(['2 two', '3 three', '3 three']);
  });

  it.each([
    [1200, 'isolators are left out', 1],
    [700, 'pods and damaged images are left out', 0],
    [380, 'pods and capabilities are left out', 0],
  ])('[C54] shortens a report for a broker that takes %i bytes', async (takesBytes, detail, pods) => {
    const { broker, session } = device();
    broker.takesBytes = takesBytes;
    const isolators = Array.from({ length: 20 }, (_, index) => ({
      ...{ app: 'web', name: `example.com/${index}`, outcome: 'ignored' as const, detail: 'x'.repeat(300) },
    }));
    const app = { name: 'web', imageId: `sha512-${'0'.repeat(128)}`, state: 'active/running' };
    session.publishReport(
      sampleReport({
        pods: [
          {
            ...{ name: 'web', uuid: '00000000-0000-8000-8000-000000000000', healthy: true, isolators },
            apps: [{ ...app, restarts: 0, lastResult: 'success', oomKills: 0 }],
          },
        ],
        capabilities: [{ name: 'fs-verity', available: false, detail: 'y'.repeat(300) }],
      }),
    );
    session.start();
    await settle();
    const payload = broker.retained.get(`${base}/reported`) ?? new Uint8Array(9999);
    expect(payload.length).toBeLessThanOrEqual(takesBytes);
    const report = decodeReport(payload);
    expect(report.pods).toHaveLength(pods);
    expect(report.capabilities[0]).toEqual({
      ...{ name: 'full-report', available: false },
      detail: `the report is larger than the limit of ${takesBytes} bytes: ${detail}`,
    });
  });

  it('[C190] publishes telemetry retained, the newest on each connection', async () => {
    const { broker, clock, session } = device();
    session.publishTelemetry(telemetryOf(undefined, sampleReadings({ atMs: 1000 })));
    session.publishTelemetry(telemetryOf(undefined, sampleReadings({ atMs: 2000 })));
    session.start();
    await settle();
    const topic = `${base}/telemetry`;
    const sent = () => broker.log.filter((line) => line.startsWith(topic));
    expect(sent()).toEqual([`${topic} (retained)`]);
    expect(decodeTelemetry(broker.retained.get(topic) ?? new Uint8Array()).at).toBe(2);
    broker.dropAll('closed', false);
    await clock.pass(minute);
    expect(sent()).toHaveLength(2);
    expect(session.traffic).toEqual({ hasCommand: false, hasUnsent: false });
  });

  it('[C190] keeps its session on a broker that does not accept telemetry', async () => {
    const { broker, clock, session, states } = device();
    broker.refusal = denied(`${base}/telemetry`);
    session.start();
    await settle();
    session.publishTelemetry(telemetryOf(undefined, sampleReadings()));
    session.publishReport(sampleReport());
    await clock.pass(10 * minute);
    expect(states).toEqual([{ up: true, connection: 1 }]);
    expect(broker.retained.has(`${base}/telemetry`)).toBe(false);
    expect(broker.retained.has(`${base}/reported`)).toBe(true);
  });

  it('delivers the retained desired state and every later one, but no cleared topic', async () => {
    const { broker, session, desired } = device();
    broker.retained.set(`${base}/desired`, Buffer.from('one'));
    session.start();
    await settle();
    broker.publish({ topic: `${base}/desired`, payload: Buffer.from('two'), retain: true });
    broker.publish({ topic: `${base}/desired`, payload: new Uint8Array(), retain: true });
    broker.publish({ topic: 'v1/harbour/d/crane-8/desired', payload: Buffer.from('not mine'), retain: true });
    expect(desired).toEqual(['one', 'two']);
  });

  it('subscribes once more if the broker grants the subscription without a command', async () => {
    const { broker, clock, session, desired } = device();
    broker.retained.set(`${base}/desired`, Buffer.from('one'));
    broker.hasJustStarted = true;
    session.start();
    await settle();
    expect(desired).toEqual([]);
    broker.hasJustStarted = false;
    await clock.pass(4_000);
    expect(desired).toEqual([]);
    await clock.pass(12_000);
    expect(desired).toEqual(['one']);
    await clock.pass(10 * minute);
    expect(broker.subscriptions.filter((topic) => topic.endsWith('/desired'))).toHaveLength(2);
  });

  it('does not subscribe again with a command or after the connection', async () => {
    const { broker, clock, session } = device(undefined, { bootSpreadMs: 0, windowMs: 1 });
    session.start();
    await settle();
    broker.retained.set(`${base}/desired`, Buffer.from('one'));
    broker.dropAll();
    await clock.pass(10 * minute);
    expect(broker.subscriptions.filter((topic) => topic.endsWith('/desired'))).toHaveLength(2);
    await session.close();
  });

  it('traces connection, messages and acknowledgements in debug entries', async () => {
    const { broker, session, debug } = device();
    broker.retained.set(`${base}/desired`, Buffer.from('one'));
    session.publishReport(sampleReport());
    session.publishEvent(sampleEvent());
    session.start();
    await settle();
    expect(debug[0]).toMatch(/^connecting to the broker \(connection 1, keepalive \d+ s\)$/);
    expect(debug).toContain(`3 bytes received on ${base}/desired`);
    expect(debug).toContain('event for version 3 acknowledged');
    expect(debug.at(-1)).toMatch(/^report of \d+ bytes acknowledged$/);
  });

  it('waits a part of the boot spread before its first connection', async () => {
    const { broker, clock, session } = device(undefined, {});
    session.start();
    await settle();
    expect(broker.log).toEqual([]);
    expect(clock.delays[0]).toBeLessThan(30_000);
    await clock.pass(30_000);
    expect(presence(broker)?.up).toBe(true);
  });

  it('[C5] publishes only the newest report when several pile up', async () => {
    const { broker, session } = device();
    session.publishReport(sampleReport({ seq: 1 }));
    session.publishReport(sampleReport({ seq: 2 }));
    session.start();
    await settle();
    const reports = broker.published.filter(({ topic }) => topic.endsWith('/reported'));
    expect(reports.map(({ payload }) => decodeReport(payload).seq)).toEqual([2]);
  });

  it('[C6] keeps an event until it is acknowledged, across a lost connection', async () => {
    const { broker, clock, session } = device();
    broker.acknowledges = false;
    session.publishEvent(sampleEvent({ version: 4 }));
    session.start();
    await settle();
    broker.dropAll();
    broker.acknowledges = true;
    await clock.pass(minute);
    broker.dropAll();
    await clock.pass(minute);
    const events = broker.published.filter(({ topic }) => topic.endsWith('/event'));
    expect(events.map(({ payload }) => decodeEvent(payload).version)).toEqual([4, 4]);
    expect(events.map(({ retain }) => retain)).toEqual([false, false]);
  });

  it('keeps one event per version and at most 32 of them while it is offline', async () => {
    const { broker, session } = device();
    session.publishEvent(sampleEvent({ version: 40, outcome: 'refused' }));
    for (let version = 1; version <= 40; version++) session.publishEvent(sampleEvent({ version }));
    session.start();
    await settle();
    const events = broker.published.filter(({ topic }) => topic.endsWith('/event'));
    const sent = events.map(({ payload }) => decodeEvent(payload));
    expect(sent.map(({ version }) => version)).toEqual(Array.from({ length: 32 }, (_, index) => index + 9));
    expect(sent.at(-1)?.outcome).toBe('committed');
  });

  it('[C4] has a will that names its boot and connection, and publishes it when it is closed', async () => {
    const { broker, session } = device();
    session.start();
    await settle();
    broker.dropAll();
    expect(presence(broker)).toEqual({ format: 1, bootId: 'boot-a', connection: 1, up: false });
    await session.close();

    const second = device();
    second.session.start();
    await settle();
    await second.session.close();
    expect(presence(second.broker)).toEqual({ format: 1, bootId: 'boot-a', connection: 1, up: false });
  });

  it('[C4] corrects the retained presence when the will of an earlier boot arrives late', async () => {
    const { broker, session } = device();
    session.start();
    await settle();
    const late = encodePresence({ format: 1, bootId: 'boot-before', connection: 9, up: false });
    broker.publish({ topic: `${base}/live`, payload: late, retain: true });
    await settle();
    expect(presence(broker)).toEqual({ format: 1, bootId: 'boot-a', connection: 1, up: true });
  });

  it('does not overwrite the presence of another device with its name', async () => {
    const { broker, session } = device();
    session.start();
    await settle();
    const clone = encodePresence({ format: 1, bootId: 'boot-clone', connection: 1, up: true });
    broker.publish({ topic: `${base}/live`, payload: clone, retain: true });
    await settle();
    expect(presence(broker)?.bootId).toBe('boot-clone');
  });

  it('[C7] retries without end while the broker is away, with growing waits', async () => {
    const { broker, clock, session, states } = device();
    broker.refuses = new ConnectionLost('unreachable', 'connection refused');
    session.start();
    await clock.pass(100 * minute);
    expect(states.length).toBeGreaterThan(12);
    const firstTen = states.slice(0, 10).map((state) => !state.up && state.retryInMs);
    const ceiling = (failures: number) => Math.min(600_000, 2000 * 2 ** failures);
    expect(firstTen).toEqual(
      firstTen.map((_, failures) =>
        Math.floor(ceiling(failures) * seededFraction('crane-7', 0, failures + 1)),
      ),
    );
    expect(states.at(-1)).toMatchObject({ up: false, reason: 'unreachable', detail: 'connection refused' });
    broker.refuses = undefined;
    await clock.pass(10 * minute);
    expect(states.at(-1)).toMatchObject({ up: true });
  });

  it('[C7] reconnects within the window that the desired state sets', async () => {
    const { broker, clock, session, states } = device();
    session.start();
    session.setReconnectWindow(7200);
    await clock.pass(minute);
    broker.dropAll();
    await settle();
    const retryInMs = Math.floor(7_200_000 * seededFraction('crane-7', clock.nowMs(), 1));
    expect(states.at(-1)).toMatchObject({ up: false, retryInMs });
    await clock.pass(retryInMs);
    expect(states.map(({ up }) => up)).toEqual([true, false, true]);
  });

  it('closes a connection on which nothing is acknowledged', async () => {
    const { broker, clock, session, states } = device();
    broker.acknowledges = false;
    session.start();
    await clock.pass(minute);
    expect(states.at(-1)).toMatchObject({
      up: false,
      detail: `the broker did not acknowledge ${base}/live in 60 s`,
    });
  });

  it('closes a connection whose subscription is never acknowledged, and reconnects', async () => {
    const { broker, clock, session, states } = device();
    broker.acknowledgesSubscriptions = false;
    session.start();
    await clock.pass(minute);
    expect(states.at(-1)).toMatchObject({
      up: false,
      detail: 'the broker did not acknowledge the subscription in 60 s',
    });
    broker.acknowledgesSubscriptions = true;
    await clock.pass(minute);
    expect(states.at(-1)).toEqual({ up: true, connection: 2 });
  });

  it('[C173] reaches its broker by a message that is acknowledged, or gives the connection up', async () => {
    const { broker, clock, session, states } = device();
    expect(await session.reach()).toBe(false);
    session.start();
    await settle();
    broker.log.length = 0;
    expect(await session.reach()).toBe(true);
    expect(broker.log).toEqual([`${base}/live (retained)`]);
    broker.acknowledges = false;
    const reached = session.reach();
    await clock.pass(20_000);
    expect(await reached).toBe(false);
    expect(states.at(-1)).toMatchObject({ up: false });
  });

  it('gives up a connection on which its report is refused, and retries', async () => {
    const { broker, clock, session, states } = device();
    broker.refusal = denied(`${base}/reported`);
    session.publishReport(sampleReport());
    session.start();
    await settle();
    expect(states.at(-1)).toMatchObject({ up: false, reason: 'credentials' });
    broker.refusal = undefined;
    await clock.pass(minute);
    expect(states.at(-1)).toEqual({ up: true, connection: 2 });
    expect(broker.retained.has(`${base}/reported`)).toBe(true);
  });

  it('has something unsent until the report is acknowledged', async () => {
    const { broker, session } = device();
    session.start();
    await settle();
    broker.acknowledges = false;
    session.publishReport(sampleReport());
    await settle();
    expect(broker.log).toContain(`${base}/reported (retained)`);
    expect(session.traffic?.hasUnsent).toBe(true);
  });

  it('sends the parts of a log on its connection, and keeps it when one is refused', async () => {
    const { broker, session, states } = device();
    expect(await session.publishLog(Buffer.from('before'))).toBe(false);
    session.start();
    await settle();
    expect(await session.publishLog(Buffer.from('part'))).toBe(true);
    expect(broker.log.at(-1)).toBe(`${base}/log`);
    for (const reason of ['credentials', 'too-large'] as const) {
      broker.refusal = { topic: `${base}/log`, loss: new ConnectionLost(reason, 'refused') };
      expect(await session.publishLog(Buffer.from('part'))).toBe(false);
      expect(states).toEqual([{ up: true, connection: 1 }]);
    }
    broker.refusal = { topic: `${base}/log`, loss: new ConnectionLost('closed', 'no answer') };
    expect(await session.publishLog(Buffer.from('part'))).toBe(false);
    await settle();
    expect(states.at(-1)).toMatchObject({ up: false, detail: 'no answer' });
  });

  it('publishes nothing between two connections, and keeps the newest report', async () => {
    const { broker, clock, session } = device();
    session.start();
    await settle();
    broker.dropAll('closed', false);
    await settle();
    broker.log.length = 0;
    session.publishReport(sampleReport());
    session.publishReport(sampleReport({ seq: 7 }));
    expect(session.traffic).toBeUndefined();
    await settle();
    expect(broker.log).toEqual([]);
    await clock.pass(minute);
    expect(decodeReport(broker.retained.get(`${base}/reported`) ?? new Uint8Array()).seq).toBe(7);
  });

  it('is closed in 3 s although the broker no longer answers', async () => {
    const { broker, clock, session } = device();
    session.start();
    await settle();
    broker.acknowledges = false;
    let closed = false;
    void session.close().then(() => (closed = true));
    await clock.pass(2_999);
    expect(closed).toBe(false);
    await clock.pass(1);
    expect(closed).toBe(true);
  });

  it('has the client identifier of its configuration, and a keepalive of its own', async () => {
    const named = device(undefined, undefined, [], 'gate-7');
    named.session.start();
    const usual = device();
    usual.session.start();
    await settle();
    expect([named.broker.clientIds, usual.broker.clientIds]).toEqual([['gate-7'], ['harbour_crane-7']]);
    const keepalive = keepaliveSeconds(seededFraction('crane-7', 0, 1));
    expect(usual.debug[0]).toBe(`connecting to the broker (connection 1, keepalive ${keepalive} s)`);
  });

  it('answers for a command that was too large to read, and logs any other message', async () => {
    const { broker, session, logged } = device(undefined, undefined, ['kitchen']);
    const refused: unknown[] = [];
    session.onRefused(({ code }, group) => refused.push([code, group]));
    session.start();
    await settle();
    const refusal = new Refusal('envelope-too-large', 'too large');
    broker.drop(`${base}/desired`, refusal);
    broker.drop('v1/harbour/group/kitchen/desired', refusal);
    expect(refused).toEqual([
      ['envelope-too-large', undefined],
      ['envelope-too-large', 'kitchen'],
    ]);
    broker.drop(`${base}/live`, refusal);
    expect(refused).toHaveLength(2);
    expect(logged.at(-1)).toEqual(['too large', { WHERRY_CODE: 'envelope-too-large' }]);
  });

  it('logs how long each connection lasted', async () => {
    const { broker, clock, session, logged } = device(undefined, { bootSpreadMs: 0, windowMs: 0 });
    session.start();
    for (const seconds of [100, 200]) {
      await clock.pass(seconds * 1000);
      broker.dropAll();
      await settle();
      expect(logged.map(([, fields]) => fields)).toContainEqual({
        ...{ WHERRY_CODE: 'broker-unreachable', WHERRY_REASON: 'closed', WHERRY_LASTED_MS: seconds * 1000 },
      });
    }
  });

  it('refuses names that would widen its topics', () => {
    const options = { bootId: 'b', transport: new MemoryBroker().transport(), clock: new FakeClock() };
    const journal = { log: () => undefined };
    expect(() => new DeviceSession({ ...options, journal, fleet: 'harbour', device: '+' })).toThrow(
      'device name',
    );
  });
});
