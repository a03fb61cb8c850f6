import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { AcName } from '../../../src/image/appc/types.ts';
import { Supervisor } from '../../../src/device/agent/supervisor.ts';
import { isUntried, markOfTarget } from '../../../src/device/deploy/index.ts';
import type { World as Deployable } from '../../../src/device/deploy/world.ts';
import type { DeploymentEvent } from '../../../src/wire/report/index.ts';
import { type DesiredState, judgeDesiredState } from '../../../src/wire/trust/index.ts';
import { desiredStateOf } from '../../support/desired.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { WorldModel } from '../../support/world-model.ts';

/**
 * A command of these tests: `<target> <version> <content>`. The content `withdrawn` withdraws the
 * target. With a fourth word the command is for a share of the group: `inside` includes the device,
 * `outside` does not.
 */
function desired(text: string): DesiredState {
  const [target = '', version = '', content = '', part] = text.split(' ');
  // The device's place in the group is 47386.
  const bounds = part === 'inside' ? { from: 47_386, to: 47_387 } : { from: 0, to: 47_386 };
  const share = part === undefined ? {} : { share: bounds };
  const name = target as AcName;
  return desiredStateOf({
    target: target === 'device' ? { device: name } : { group: name, ...share },
    version: Number(version),
    issued: Number(version),
    expires: 1000,
    ...(content === 'withdrawn'
      ? { withdrawn: true }
      : { pods: [{ name: 'web' as AcName, manifest: Buffer.from(content) }] }),
  });
}

/** A world in which the probation of pods named `slow` never ends. */
class World extends WorldModel {
  override async probation(...[pods, , signal]: Partial<Parameters<Deployable['probation']>>) {
    await super.probation([], { seconds: 0 });
    if (pods?.some((pod) => pod.name.endsWith('slow')) !== true) return;
    await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error)));
  }
}

/** A device in these groups whose messages are examined as wherry-examine does. */
function device(groups: readonly string[], world = new World()) {
  const events: DeploymentEvent[] = [];
  const examined: string[] = [];
  /** The messages that the broker retains, by target. */
  const retained = new Map<string, string>();
  const supervisor: Supervisor = new Supervisor({
    keeper: world,
    world,
    groups,
    clock: new FakeClock(),
    journal: { log: () => undefined },
    bootId: 'boot',
    examine: async (message, _state, _signal, group) => {
      const text = Buffer.from(message).toString();
      examined.push(text);
      await settle();
      const payloadSha256 = createHash('sha256').update(text).digest('hex');
      const verdict = judgeDesiredState({
        desired: desired(text),
        payloadSha256,
        trusted: markOfTarget(world.state, group),
        fleet: 'fleet',
        device: 'device',
        ...(group === undefined ? {} : { group }),
        ...(isUntried(world.state, groups, group) ? { untried: true as const } : {}),
        time: { nowSeconds: 100, clockTrusted: true },
      });
      return { outcome: verdict.outcome, desired: desired(text), payloadSha256, signedBy: ['key'] };
    },
    onChange: () => undefined,
    startPods: () => Promise.resolve(),
    onRest: () => undefined,
    onEvent: (event) => events.push(event),
    onAccepted: () => undefined,
    onWithdrawn: () => reconnect(),
  });
  const reconnect = (): void => {
    for (const target of ['device', ...groups]) {
      const message = retained.get(target);
      if (message !== undefined)
        supervisor.receive(Buffer.from(message), target === 'device' ? undefined : target);
    }
  };
  /** Publishes a command on the topic of its target, or on `topic`. */
  const publish = async (text: string, on = text.split(' ')[0] ?? ''): Promise<void> => {
    retained.set(on, text);
    supervisor.receive(Buffer.from(text), on === 'device' ? undefined : on);
    await rest();
  };
  const answers = () =>
    events.map(({ group, version, ...event }) =>
      [group ?? 'device', version, 'code' in event ? event.code : event.outcome].join(' '),
    );
  return { world, supervisor, publish, reconnect, answers, examined, events };
}

async function rest(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await settle();
}

describe('a device in groups', () => {
  it("[C175] runs its own command before its groups', and those in order", async () => {
    const { publish, world, answers } = device(['kitchen', 'floor']);
    await publish('floor 5 a');
    expect([...world.running]).toEqual(['web-a']);
    await publish('kitchen 2 b');
    expect([...world.running]).toEqual(['web-b']);
    await publish('device 1 c');
    expect([...world.running]).toEqual(['web-c']);
    expect(world.state.current).toMatchObject({ version: 1 });
    expect(world.state.current).not.toHaveProperty('group');
    expect(answers()).toEqual(['floor 5 committed', 'kitchen 2 committed', 'device 1 committed']);
  });

  it('[C175] answers a passed-over command once, and remembers its version', async () => {
    const { publish, world, answers, reconnect, events } = device(['kitchen']);
    await publish('device 1 a');
    await publish('kitchen 9 b');
    reconnect();
    await rest();
    expect([...world.running]).toEqual(['web-a']);
    expect(answers()).toEqual(['device 1 committed', 'kitchen 9 passed-over']);
    expect(events[1]).toMatchObject({
      message: expect.stringContaining('the device itself has precedence') as string,
    });
    await publish('kitchen 8 c');
    expect(answers().at(-1)).toBe('kitchen 0 version-older');
  });

  it('[C177] runs its own command until it is withdrawn, then that of its group', async () => {
    const { publish, world, answers } = device(['kitchen', 'floor']);
    await publish('device 1 a');
    await publish('device 2 withdrawn');
    expect([...world.running]).toEqual(['web-a']);
    await publish('floor 3 b');
    expect([...world.running]).toEqual(['web-b']);
    await publish('device 3 c');
    await publish('device 4 withdrawn');
    expect([...world.running]).toEqual(['web-b']);
    expect(world.state.current).toMatchObject({ version: 3, group: 'floor' });
    expect(answers()).toEqual([
      'device 1 committed',
      'device 2 committed',
      'floor 3 committed',
      'device 3 committed',
      'device 4 committed',
      'floor 3 committed',
    ]);
  });

  it('[C177] accepts a command that arrives in one packet with a known one', async () => {
    const { supervisor, publish, answers } = device(['kitchen']);
    await publish('device 1 a');
    await publish('device 2 withdrawn');
    supervisor.receive(Buffer.from('device 2 withdrawn'));
    supervisor.receive(Buffer.from('kitchen 3 b'), 'kitchen');
    await rest();
    expect(answers().at(-1)).toBe('kitchen 3 committed');
  });

  it('[C177] ends a running deployment when its target is withdrawn', async () => {
    const { publish, world, answers } = device(['kitchen']);
    await publish('kitchen 1 a');
    await publish('device 1 slow');
    await publish('device 2 withdrawn');
    expect([...world.running]).toEqual(['web-a']);
    expect(world.state.pending).toBeUndefined();
    expect(answers().slice(0, 3)).toEqual([
      'kitchen 1 committed',
      'device 1 superseded',
      'device 2 committed',
    ]);
  });

  it('[C176] trusts a passed-over command during a deployment, and loses neither', async () => {
    const { publish, world, supervisor } = device(['kitchen']);
    await publish('device 1 slow');
    await publish('kitchen 9 b');
    expect(supervisor.deployment).toMatchObject({ version: 1, phase: 'probation' });
    expect(markOfTarget(world.state, 'kitchen').version).toBe(9);
    expect(world.state.pending?.desired.version).toBe(1);
  });

  it('[C175] does not retry a version of a group that was rolled back', async () => {
    const { publish, reconnect, world, answers } = device(['kitchen']);
    world.refuse = { probation: 'probation-failed' };
    await publish('kitchen 1 a');
    world.refuse = {};
    reconnect();
    await rest();
    expect(answers()).toEqual(['kitchen 1 probation-failed']);
    expect([...world.running]).toEqual([]);
  });

  it('[C175] runs the next group after it has left one', async () => {
    const world = new World();
    const before = device(['kitchen', 'floor'], world);
    await before.publish('kitchen 1 a');
    await before.publish('floor 1 b');
    const after = device(['floor'], world);
    await after.publish('floor 1 b');
    expect([...world.running]).toEqual(['web-b']);
    await after.publish('kitchen 2 c');
    expect([...world.running]).toEqual(['web-b']);
  });

  it('[C174] is delayed by a flood on the topic of a group by one examination at most', async () => {
    const { publish, supervisor, examined, world } = device(['kitchen']);
    await publish('kitchen 1 a');
    examined.length = 0;
    for (let count = 0; count < 50; count++) supervisor.receive(Buffer.from(`floor ${count} x`), 'kitchen');
    supervisor.receive(Buffer.from('device 1 b'));
    await rest();
    expect(examined.indexOf('device 1 b')).toBeLessThanOrEqual(1);
    expect([...world.running]).toEqual(['web-b']);
  });
});

describe('a device in a group with commands for shares', () => {
  it('[C228] continues silently outside of a share, and obeys a wider one', async () => {
    const { publish, world, answers, reconnect } = device(['kitchen']);
    await publish('kitchen 1 a');
    await publish('kitchen 2 b outside');
    expect([...world.running]).toEqual(['web-a']);
    expect(world.state.current).toMatchObject({ version: 1, group: 'kitchen' });
    expect(markOfTarget(world.state, 'kitchen')).toMatchObject({ version: 2 });
    const saves = world.calls.length;
    reconnect();
    await rest();
    expect(world.calls).toHaveLength(saves);
    await publish('kitchen 1 a');
    expect(answers()).toEqual(['kitchen 1 committed', 'kitchen 0 version-older']);
    await publish('kitchen 3 b inside');
    expect([...world.running]).toEqual(['web-b']);
    expect(answers().at(-1)).toBe('kitchen 3 committed');
  });

  it('[C228] continues when it was in one share and is not in the next', async () => {
    const { publish, world, answers } = device(['kitchen']);
    await publish('kitchen 1 a');
    await publish('kitchen 2 b inside');
    await publish('kitchen 3 c outside');
    expect([...world.running]).toEqual(['web-b']);
    expect(answers()).toEqual(['kitchen 1 committed', 'kitchen 2 committed']);
  });

  it('[C228] restarts nothing when a wider share, or the whole group, has its pods', async () => {
    const { publish, world } = device(['kitchen']);
    await publish('kitchen 1 a inside');
    const started = world.calls.filter((call) => call.startsWith('start')).length;
    expect(started).toBeGreaterThan(0);
    await publish('kitchen 2 a');
    expect(world.state.current).toMatchObject({ version: 2 });
    expect(world.calls.filter((call) => call.startsWith('start'))).toHaveLength(started);
    expect(world.calls.filter((call) => call.startsWith('stop'))).toEqual([]);
  });

  it('[C228] completes a deployment of the previous version', async () => {
    const { publish, world, supervisor, answers } = device(['kitchen']);
    await publish('kitchen 1 slow');
    await publish('kitchen 2 b outside');
    expect(supervisor.deployment).toMatchObject({ version: 1, phase: 'probation' });
    expect(world.state.pending?.desired.version).toBe(1);
    expect(markOfTarget(world.state, 'kitchen').version).toBe(2);
    await publish('kitchen 3 c inside');
    expect([...world.running]).toEqual(['web-c']);
    expect(answers()).toEqual(['kitchen 1 superseded', 'kitchen 3 committed']);
  });

  it('[C228] that never followed the group ignores it and follows its next group', async () => {
    const { publish, world, answers } = device(['kitchen', 'floor']);
    await publish('kitchen 2 b outside');
    expect([...world.running]).toEqual([]);
    await publish('floor 1 a');
    expect([...world.running]).toEqual(['web-a']);
    await publish('kitchen 3 c outside');
    await publish('floor 2 d');
    expect([...world.running]).toEqual(['web-d']);
    await publish('kitchen 4 c inside');
    expect([...world.running]).toEqual(['web-c']);
    expect(answers()).toEqual(['floor 1 committed', 'floor 2 committed', 'kitchen 4 committed']);
  });

  it('[C228] still follows the group before others while it is outside', async () => {
    const { publish, world, answers } = device(['kitchen', 'floor']);
    await publish('kitchen 1 a');
    await publish('kitchen 2 b outside');
    await publish('floor 1 c');
    expect([...world.running]).toEqual(['web-a']);
    expect(answers()).toEqual(['kitchen 1 committed', 'floor 1 passed-over']);
  });

  it('[C228] follows its next group if its own command is withdrawn outside the share', async () => {
    const { publish, world, answers } = device(['kitchen', 'floor']);
    await publish('kitchen 1 a');
    await publish('kitchen 2 b outside');
    await publish('floor 1 c');
    await publish('device 1 d');
    expect([...world.running]).toEqual(['web-d']);
    await publish('device 2 withdrawn');
    // The broker no longer has version 1 of the kitchen, so the floor is next.
    expect([...world.running]).toEqual(['web-c']);
    expect(answers().at(-1)).toBe('floor 1 committed');
    await publish('kitchen 3 e');
    expect([...world.running]).toEqual(['web-e']);
  });

  it('[C228] keeps running its own command, whatever share arrives meanwhile', async () => {
    const { publish, world, answers } = device(['kitchen']);
    await publish('device 1 a');
    await publish('kitchen 1 b outside');
    await publish('kitchen 2 b inside');
    expect([...world.running]).toEqual(['web-a']);
    expect(answers()).toEqual(['device 1 committed', 'kitchen 2 passed-over']);
  });

  it('[C228] does not undo a withdrawal when a share without it follows', async () => {
    const { publish, world } = device(['kitchen', 'floor']);
    await publish('kitchen 1 a');
    await publish('kitchen 2 withdrawn');
    await publish('kitchen 3 b outside');
    await publish('floor 1 c');
    expect([...world.running]).toEqual(['web-c']);
  });
});
