import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SimulatedRollouts } from '../support/simulated-rollouts.ts';
import { until } from '../support/system-clock.ts';
import { brokerKinds, everything, type BrokerUnderTest } from './broker-under-test.ts';

/**
 * aedes keeps nothing over a crash. One node of RabbitMQ or NATS shows nothing that three do not.
 */
const kinds = brokerKinds.filter(({ name, nodes }) => name === 'Mosquitto' || (everything && nodes === 3));
const count = everything ? 30 : 6;

/** Of the output of `wherry status --json`. */
interface Kept {
  readonly broker: { readonly keeps: string };
  readonly repeated?: string;
}

describe.each(kinds)('a rollout on $name, of which nodes are killed', ({ name, make, missing, nodes }) => {
  let broker: BrokerUnderTest | undefined;
  let rollouts: SimulatedRollouts | undefined;
  const names = Array.from({ length: count }, (_, index) => `sim-${index}`);

  beforeAll(async () => {
    if (missing !== undefined) return;
    broker = await make();
    await broker.start();
    rollouts = await SimulatedRollouts.make(broker.urls, count, everything ? 300 : 30);
    const { devices } = rollouts;
    await devices.start();
    await until(() => devices.traffic.connected === count);
  }, 240_000);
  const running = () => {
    if (broker === undefined || rollouts === undefined) throw new Error('it did not start');
    return { broker, rollouts };
  };
  afterAll(async () => {
    if (missing !== undefined) return;
    // They are not there if the broker or they did not start.
    await rollouts?.end();
    await broker?.end();
  });

  const stages = ['--stage', '2', '--stage', '50%', '--soak', '0s'];

  // The operator is at the first node, a third of the devices at each.
  const killed: readonly (readonly [which: string, id: string, nodes: readonly number[]])[] =
    nodes === 1
      ? [['the only node', 'only', [0]]]
      : [
          ['the node of the operator', 'operator', [0]],
          ['a node of devices alone', 'devices', [2]],
          ['every node', 'every', [0, 1, 2]],
        ];

  it.skipIf(missing !== undefined).each(killed)(
    'completes when it is %s, and loses nothing [C251] [C302]',
    { timeout: 600_000 },
    async (_which, id, lost) => {
      const { broker, rollouts } = running();
      const { traffic } = rollouts.devices;
      const { said, ended } = rollouts.start(id, 'good', [...names, ...stages]);
      await until(() => said().includes('awaiting the answers of wave 2'));
      await Promise.all(lost.map((node) => broker.kill(node)));
      // Devices of one node are back at another within a second.
      await until(() => (lost.length === nodes ? traffic.connected === 0 : traffic.connected < count));
      await broker.start();
      expect(await ended, said()).toBe(0);
      const { phase, waves } = await rollouts.shown(id);
      expect(phase).toBe('complete');
      expect(waves.reduce((sum, { good }) => sum + good, 0)).toBe(count);
      await until(() => traffic.connected === count);
      // The first status publishes again what the broker had acknowledged and lost.
      const repeated = (await kept()).filter(({ repeated }) => repeated !== undefined);
      if (everything) console.log(`${name} | ${id} | commands published again: ${repeated.length}`);
      expect((await kept()).map(({ broker: { keeps } }) => keeps)).toEqual(names.map(() => 'newest'));
    },
  );

  /** What the broker keeps for each device, as `wherry status` finds it. */
  const kept = async () => {
    const { out } = await running().rollouts.run('status', ...names, '--json');
    // A refusal follows if the node of the operator keeps no report of devices at other nodes.
    const [devices = ''] = out.split('\n');
    return (JSON.parse(devices) as { command: Kept }[]).map(({ command }) => command);
  };

  it.skipIf(missing !== undefined || !everything)(
    'halts a bad version in its wave, and undoes it',
    { timeout: 300_000 },
    async () => {
      const { broker, rollouts } = running();
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
