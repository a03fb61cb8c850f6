import { describe, expect, it } from 'vitest';
import { FleetLink } from '../../../src/operator/fleet/index.ts';
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
      (link) => link.publishDesired('crane-7', Buffer.from('x')),
    ],
  ])('does not wait for ever for a broker that does not acknowledge %s', async (what, silence, work) => {
    const broker = new MemoryBroker();
    const clock = new FakeClock();
    const link = await FleetLink.connect({ fleet: 'harbour', transport: broker.transport(), clock });
    silence(broker);
    const waiting = expect(work(link)).rejects.toMatchObject({
      code: 'broker-unreachable',
      message: `no connection to the broker: the broker did not acknowledge ${what} in 30 s`,
    });
    await clock.pass(60_000);
    await waiting;
  });
});
