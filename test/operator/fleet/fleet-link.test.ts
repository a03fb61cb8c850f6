import { describe, expect, it } from 'vitest';
import type { AcName } from '../../../src/image/appc/index.ts';
import { composeDesired } from '../../../src/operator/fleet/compose.ts';
import { encodeDesiredState, encodeEnvelope } from '../../../src/wire/trust/index.ts';
import { encodeReport } from '../../../src/wire/report/index.ts';
import { FleetLink } from '../../../src/operator/fleet/index.ts';
import { sampleReport } from '../../support/sample-messages.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryBroker } from '../../device/session/memory-broker.ts';

describe('the link of an operator', () => {
  it.each<[string, (broker: MemoryBroker) => void, (link: FleetLink) => Promise<void>]>([
    [
      'the subscription',
      (broker) => (broker.acknowledgesSubscriptions = false),
      (link) => link.listen(['crane-7']),
    ],
    [
      'the command',
      (broker) => (broker.acknowledges = false),
      (link) => link.publishDesired('crane-7', { version: 1, envelope: Buffer.from('x') }),
    ],
  ])('stops waiting for a broker that does not acknowledge %s', async (what, silence, work) => {
    const broker = new MemoryBroker();
    const clock = new FakeClock();
    const link = await FleetLink.connect({ fleet: 'harbour', transport: broker.transport(), clock });
    silence(broker);
    const waiting = expect(work(link)).rejects.toMatchObject({
      code: 'broker-unreachable',
      message: `the broker did not acknowledge ${what} in 30 s`,
    });
    await clock.pass(60_000);
    await waiting;
  });

  const desired = 'v1/harbour/d/crane-7/desired';
  const command = (version: number): { version: number; envelope: Uint8Array } => ({
    version,
    envelope: encodeEnvelope({
      payload: encodeDesiredState(
        composeDesired({
          fleet: 'harbour' as AcName,
          target: { device: 'crane-7' as AcName },
          version,
          nowSeconds: 1,
          validDays: 90,
          pods: [],
          images: [],
          policy: { probationSeconds: 10, limits: 'require', reconnectWindowSeconds: 60 },
        }),
      ),
      signatures: ['signature'],
    }),
  });
  async function linked(broker: MemoryBroker): Promise<{ link: FleetLink; clock: FakeClock }> {
    const clock = new FakeClock();
    const link = await FleetLink.connect({ fleet: 'harbour', transport: broker.transport(), clock });
    return { link, clock };
  }

  it('gets reports of known devices from a broker without retained messages for wildcards', async () => {
    const broker = new MemoryBroker();
    broker.retainsForWildcards = false;
    broker.retained.set('v1/harbour/d/crane-7/reported', encodeReport(sampleReport()));
    const { link, clock } = await linked(broker);
    const listening = link.listen('all', ['crane-7', 'crane-8']);
    await clock.pass(3_000);
    await listening;
    expect(link.views().map(({ device, report }) => [device, report !== undefined])).toEqual([
      ['crane-7', true],
    ]);
  });

  it.each<[string, (broker: MemoryBroker) => void, string]>([
    ['the command', (broker) => broker.retained.set(desired, command(3).envelope), 'command'],
    ['that there is nothing', () => undefined, 'nothing'],
    ['nothing that it could know of', (broker) => (broker.denies = () => true), 'unknown'],
  ])('reads back %s', async (_, prepare, seen) => {
    const broker = new MemoryBroker();
    prepare(broker);
    const { link, clock } = await linked(broker);
    const reading = link.readBack(['crane-7']);
    await clock.pass(3_000);
    expect((await reading).get('crane-7')).toMatchObject({ seen });
    expect(broker.published.every(({ retain }) => !retain)).toBe(true);
  });

  it('reads back a command that a busy broker returns after the echo', async () => {
    const broker = new MemoryBroker();
    const { link, clock } = await linked(broker);
    const reading = link.readBack(['crane-7']);
    await clock.pass(350);
    expect(broker.log).toEqual([desired]);
    broker.publish({ topic: desired, payload: command(3).envelope, retain: true });
    await clock.pass(3_000);
    expect((await reading).get('crane-7')).toMatchObject({ seen: 'command' });
  });

  it.each<[string, boolean, RegExp]>([
    ['stays on the broker only when it was read back', false, /the command stays on the broker/],
    ['is not said to stay on a broker that threw it away', true, /the broker does not return the command/],
  ])('a command %s', async (_, isDenied, words) => {
    const broker = new MemoryBroker();
    broker.denies = () => isDenied;
    const { link, clock } = await linked(broker);
    await link.publishDesired('crane-7', command(3));
    const following = expect(link.follow('crane-7', 3, 0, 5_000, () => undefined)).rejects.toMatchObject({
      code: 'not-confirmed',
      message: expect.stringMatching(words) as string,
    });
    await clock.pass(10_000);
    await following;
  });

  it.each<[string, number | undefined, number]>([
    ['nothing', undefined, 3],
    ['an older command', 2, 3],
    ['a newer command', 4, 4],
  ])('repeats a followed command after a restart when the broker kept %s', async (_, kept, finally_) => {
    const broker = new MemoryBroker();
    const { link, clock } = await linked(broker);
    await link.publishDesired('crane-7', command(3));
    const following = link.follow('crane-7', 3, 0, 60_000, () => undefined).catch(() => undefined);
    await clock.pass(100);
    broker.retained.delete(desired);
    if (kept !== undefined) broker.retained.set(desired, command(kept).envelope);
    broker.dropAll();
    await clock.pass(10_000);
    expect(broker.retained.get(desired)).toEqual(command(finally_).envelope);
    await clock.pass(60_000);
    await following;
  });

  it.each([
    ['shuts down', 'busy', true],
    ['takes fewer connections at once', 'quota', true],
    ['does not want it any more', 'credentials', false],
  ] as const)('is made again, or given up, when the broker %s', async (_, reason, isMade) => {
    const broker = new MemoryBroker();
    const { link, clock } = await linked(broker);
    const seen: string[] = [];
    const enough = new AbortController();
    const kept = link
      .keepConnected(enough.signal, (loss) => void seen.push(loss?.message ?? 'back'))
      .catch((error: unknown) => void seen.push((error as Error).message));
    broker.dropAll(reason);
    await clock.pass(5_000);
    enough.abort();
    await kept;
    const given = `the broker refused the connection: dropped: ${reason}`;
    expect(seen).toEqual(isMade ? [`dropped: ${reason}`, 'back'] : [given]);
  });

  it('ends at an outcome, whatever follows it in the same packet', async () => {
    const broker = new MemoryBroker();
    const { link, clock } = await linked(broker);
    const listening = link.listen(['crane-7']);
    await clock.pass(5_000);
    await listening;
    const following = link.follow('crane-7', 3, 0, 60_000, () => undefined);
    const report = (seq: number, phase: 'committed' | 'probation') =>
      encodeReport(sampleReport({ seq, currentVersion: 2, deployment: { version: 3, phase } }));
    const publish = (payload: Uint8Array) =>
      broker.publish({ topic: 'v1/harbour/d/crane-7/reported', payload, retain: true });
    publish(report(2, 'committed'));
    publish(report(3, 'probation'));
    await clock.pass(1_000);
    expect(await following).toEqual({ phase: 'committed' });
  });

  it('opens one new connection for all devices that it follows', async () => {
    const broker = new MemoryBroker();
    const { link, clock } = await linked(broker);
    const following = ['crane-7', 'crane-8', 'crane-9'].map((device) =>
      link.follow(device, 1, 0, 20_000, () => undefined).catch(() => undefined),
    );
    await clock.pass(100);
    broker.dropAll();
    await clock.pass(5_000);
    expect(broker.connections).toBe(2);
    await clock.pass(30_000);
    await Promise.all(following);
  });
});
