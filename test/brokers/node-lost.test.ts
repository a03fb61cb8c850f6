import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SimulatedRollouts } from '../support/simulated-rollouts.ts';
import { until } from '../support/system-clock.ts';
import { brokerKinds, everything, type BrokerUnderTest } from './broker-under-test.ts';

/**
 * aedes keeps nothing over a crash. One node of RabbitMQ or NATS shows nothing that three do not.
 */
const kinds = brokerKinds.filter(({ name, nodes }) => name === 'Mosquitto' || (everything && nodes === 3));
const count = everything ? 30 : 6;

describe.each(kinds)('a rollout on $name, of which a node is killed', ({ make, missing, nodes }) => {
  let broker: BrokerUnderTest;
  let rollouts: SimulatedRollouts;
  const names = Array.from({ length: count }, (_, index) => `sim-${index}`);

  beforeAll(async () => {
    if (missing !== undefined) return;
    broker = await make();
    await broker.start();
    rollouts = await SimulatedRollouts.make(broker.urls, count, everything ? 300 : 30);
    await rollouts.devices.start();
    await until(() => rollouts.devices.traffic.connected === count);
  }, 240_000);
  afterAll(async () => {
    if (missing !== undefined) return;
    await rollouts.end();
    await broker.end();
  });

  const stages = ['--stage', '2', '--stage', '50%', '--soak', '0s'];

  // The operator is at the first node, a third of the devices at each.
  const killed: readonly (readonly [string, number])[] =
    nodes === 1
      ? [['the only node', 0]]
      : [
          ['the node of the operator', 0],
          ['a node of devices alone', 2],
        ];

  for (const [which, node] of killed) {
    it.skipIf(missing !== undefined)(
      `completes when it is ${which}, and loses nothing [C251]`,
      { timeout: 300_000 },
      async () => {
        const id = `good-${node}`;
        const { said, ended } = rollouts.start(id, 'good', [...names, ...stages]);
        await until(() => said().includes('awaiting the answers of wave 2'));
        await broker.kill(node);
        await until(() => rollouts.devices.traffic.connected < count);
        await broker.start();
        expect(await ended, said()).toBe(0);
        const { phase, waves } = await rollouts.shown(id);
        expect(phase).toBe('complete');
        expect(waves.reduce((sum, { good }) => sum + good, 0)).toBe(count);
      },
    );
  }

  it.skipIf(missing !== undefined || !everything)(
    'halts a bad version in its wave, and undoes it',
    { timeout: 300_000 },
    async () => {
      const { said, ended } = rollouts.start('bad', 'bad', [...names, ...stages]);
      await until(() => said().includes('awaiting the answers of wave 1'));
      await broker.kill(nodes - 1);
      await broker.start();
      expect(await ended, said()).toBe(65);
      const { waves } = await rollouts.shown('bad');
      expect(waves.map(({ sent }) => sent)).toEqual(waves.map((_, index) => (index === 0 ? 2 : 0)));
      expect(await rollouts.run('rollout', 'undo', 'bad')).toMatchObject({ status: 0 });
      expect(await rollouts.shown('bad')).toMatchObject({ phase: 'undone', undone: 2 });
    },
  );
});
