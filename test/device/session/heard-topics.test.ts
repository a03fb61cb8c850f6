import { describe, expect, it } from 'vitest';
import { HeardTopics } from '../../../src/device/session/heard-topics.ts';
import { type Connection, ConnectionLost, type LossReason } from '../../../src/wire/mqtt/index.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryBroker } from './memory-broker.ts';

const base = 'v1/harbour/d/crane-7';

function heard(options: { readonly asks?: boolean } = {}) {
  const lines: string[] = [];
  const topics = new HeardTopics({
    ...{ fleet: 'harbour', device: 'crane-7', groups: ['kitchen'], bootId: 'b', ...options },
    ...{ transport: new MemoryBroker().transport(), clock: new FakeClock() },
    journal: { log: (_level, message) => lines.push(message) },
  });
  return { topics, lines };
}

/** Fails the subscription to this topic. */
function refusing(refused: string, reason: LossReason): Connection {
  return {
    ended: new Promise(() => undefined),
    subscribe: ([topic = '']) =>
      topic === refused
        ? Promise.reject(new ConnectionLost(reason, `${topic} is refused`))
        : Promise.resolve(),
    publish: () => Promise.resolve(),
    mostPayloadBytes: () => Infinity,
    close: () => Promise.resolve(),
    abort: () => undefined,
  };
}

describe('the topics that a device subscribes to', () => {
  it('ignores a message on any other topic', () => {
    const { topics } = heard();
    expect(topics.of(`${base}/desired`)).toEqual({ kind: 'command' });
    expect(topics.of('v1/harbour/group/kitchen/desired')).toEqual({ kind: 'command', group: 'kitchen' });
    for (const other of ['group/roof/desired', 'd/crane-7/ask', 'd/crane-7/reported', 'root/undefined'])
      expect(topics.of(`v1/harbour/${other}`), other).toBeUndefined();
    expect(heard({ asks: true }).topics.of(`${base}/ask`)).toEqual({ kind: 'ask' });
  });

  it('requests no root of trust while none is awaited', async () => {
    const { topics, lines } = heard();
    await topics.subscribeRoot(refusing('v1/harbour/root/undefined', 'credentials'));
    expect(lines).toEqual([]);
    topics.awaitedRoot = 2;
    await topics.subscribeRoot(refusing('v1/harbour/root/2', 'credentials'));
    expect(lines).toEqual(['no newer root of trust can come: v1/harbour/root/2 is refused']);
  });

  const group = 'v1/harbour/group/kitchen/desired';

  it('does without a group that the broker refuses', async () => {
    const { topics, lines } = heard();
    await topics.subscribe(refusing(group, 'credentials'));
    expect(lines).toEqual([`no command for the group kitchen can come: ${group} is refused`]);
  });

  it.each([
    ['its own topic is refused', `${base}/desired`, 'credentials'],
    ['a subscription fails for another reason', group, 'closed'],
  ] as const)('fails when %s', async (_, topic, reason) => {
    await expect(heard().topics.subscribe(refusing(topic, reason))).rejects.toMatchObject({ reason });
  });
});
