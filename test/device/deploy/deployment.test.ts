import { describe, expect, it } from 'vitest';
import type { AcName } from '../../../src/image/appc/index.ts';
import {
  decodeState,
  type DeployedPod,
  encodeState,
  runDeployment,
  Superseded,
  transitions,
} from '../../../src/device/deploy/index.ts';
import { Refusal } from '../../../src/core/refusal/index.ts';
import type { DeploymentReport } from '../../../src/wire/report/index.ts';
import { desiredState as desired } from '../../support/desired.ts';
import { imageIdOf, treeIdOf } from './ids.ts';
import { deployedPod, PowerCut, rendering, WorldModel } from '../../support/world-model.ts';

const never = new AbortController().signal;
/** The device's clock says second 1000. */
const clock = { nowMs: () => 1_000_000 };

/**
 * A device on which version 1 (`web-old`) runs and was committed, and version 2 (`web-new`) was
 * accepted.
 */
function deviceWithPending(): WorldModel {
  const world = new WorldModel();
  const old = deployedPod('web-old');
  world.enabled = [old];
  world.stagedUnits.add('web-old');
  world.boot();
  world.state = {
    ...world.state,
    trusted: { version: 2, payloadSha256: 'x', issued: 1 },
    current: { version: 1, pods: [old], imageIds: [imageIdOf('old')] },
    pending: { desired: desired(2, 'new'), attempts: 0 },
  };
  return world;
}

async function run(world: WorldModel, signal = never): Promise<DeploymentReport[]> {
  const told: DeploymentReport[] = [];
  await runDeployment(world, world, (report) => told.push(report), signal, clock);
  return told;
}

describe('a deployment', () => {
  it('goes through its phases in order and ends committed [C40]', async () => {
    const world = deviceWithPending();
    const phases = (await run(world)).map((report) => report.phase);
    expect([...new Set(phases)]).toEqual(['fetch', 'stage', 'activate', 'probation', 'committed']);
    expect([...world.running]).toEqual(['web-new']);
    expect(world.enabled.map((pod) => pod.name)).toEqual(['web-new']);
    expect(world.state.current?.version).toBe(2);
    expect(world.state.previous?.version).toBe(1);
    expect(world.state.pending).toBeUndefined();
    expect([...world.stagedUnits]).toEqual(['web-new']);
  });

  it('waits before its activation, reports why, and stages again when it may begin [C172]', async () => {
    const world = deviceWithPending();
    world.waits = ['locked', 'locked', 'closed'];
    const told = await run(world);
    expect(told.filter(({ phase }) => phase === 'wait')).toEqual([
      { version: 2, phase: 'wait', why: 'locked' },
      { version: 2, phase: 'wait', why: 'closed' },
    ]);
    const order = world.calls.filter((call) => /^(pull|stage|wait|start)/.test(call));
    expect(order).toEqual(['pull', 'stage', 'wait', 'wait', 'wait', 'stage', 'start web-new']);
    expect(world.state.current?.version).toBe(2);
  });

  it('is superseded while it waits, before it has changed anything [C44]', async () => {
    const world = deviceWithPending();
    world.waits = ['locked'];
    const abort = new AbortController();
    world.beforeCall = (call) => {
      if (call === 'wait') abort.abort(new Superseded(3));
    };
    const told = await run(world, abort.signal);
    expect(told.at(-1)).toMatchObject({ phase: 'superseded', code: 'superseded' });
    expect(world.calls).not.toContain('adopt');
    expect([...world.running]).toEqual(['web-old']);
  });

  it('is not held once its activation has begun: the previous set may have been stopped', async () => {
    const world = deviceWithPending();
    const { pending } = world.state;
    if (pending === undefined) throw new Error('nothing is pending');
    world.state = { ...world.state, pending: { ...pending, attempts: 1, bootId: 'this' } };
    world.waits = ['locked'];
    expect((await run(world)).at(-1)).toMatchObject({ phase: 'committed' });
    expect(world.waits).toEqual(['locked']);
  });

  it('counts a loss of the broker if there was a connection, unless its policy ignores it [C173]', async () => {
    for (const [brokerLoss, hasBroker, expected] of [
      ['roll-back', true, { seconds: 1, reconnectWindowMs: 1000 }],
      ['roll-back', false, { seconds: 1 }],
      ['ignore', true, { seconds: 1 }],
      [undefined, true, { seconds: 1, reconnectWindowMs: 1000 }],
      [undefined, false, { seconds: 1 }],
    ] as const) {
      const world = deviceWithPending();
      const { pending } = world.state;
      if (pending === undefined) throw new Error('nothing is pending');
      const policy = { ...pending.desired.policy, ...(brokerLoss === undefined ? {} : { brokerLoss }) };
      world.state = { ...world.state, pending: { ...pending, desired: { ...pending.desired, policy } } };
      world.hasBroker = hasBroker;
      await run(world);
      expect(world.probationTerms).toEqual(expected);
    }
  });

  it('counts a loss of the broker after a reboot in the probation, too [C173]', async () => {
    const world = deviceWithPending();
    const abort = new AbortController();
    world.beforeCall = (call) => {
      if (call === 'probation') abort.abort(new Error('the device goes down'));
    };
    await run(world, abort.signal);
    expect(world.state.pending).toMatchObject({ attempts: 1, hadBroker: true });
    const { pending } = world.state;
    if (pending === undefined) throw new Error('nothing is pending');
    const withoutImages = { ...pending, desired: { ...pending.desired, images: [] } };
    const saved = encodeState({ ...world.state, pending: withoutImages });
    expect(decodeState(saved).pending).toMatchObject({ attempts: 1, hadBroker: true });
    world.beforeCall = () => undefined;
    world.hasBroker = false;
    await run(world);
    expect(world.probationTerms).toEqual({ seconds: 1, reconnectWindowMs: 1000 });
  });

  it('that is resumed is staged as one whose own pods may run [C366]', async () => {
    const world = deviceWithPending();
    const abort = new AbortController();
    world.beforeCall = (call) => {
      if (call === 'probation') abort.abort(new Error('wherryd is restarted'));
    };
    await run(world, abort.signal);
    await run(world);
    expect(world.touched).toEqual([false, true]);
  });

  it('names the scheduled pods that ran before, whose last run does not count [C220]', async () => {
    const world = deviceWithPending();
    const pods = [deployedPod('web-old'), { ...deployedPod('backup'), timer: 'backup.timer' }];
    world.state = { ...world.state, current: { version: 1, pods, imageIds: [imageIdOf('old')] } };
    await run(world);
    expect(world.probationTerms).toMatchObject({ seconds: 1, unchanged: ['backup.timer'] });
  });

  it('reports how many bytes of how many have arrived', async () => {
    const told = await run(deviceWithPending());
    expect(told).toContainEqual({ version: 2, phase: 'fetch', receivedBytes: 10, totalBytes: 10 });
  });

  it('does not fetch an image twice', async () => {
    const world = deviceWithPending();
    await run(world);
    const { pending, ...rest } = world.state;
    world.state = { ...rest, pending: { desired: desired(3, 'new'), attempts: 0 } };
    world.calls.length = 0;
    await run(world);
    expect(world.calls).not.toContain('pull');
  });

  it('fetches an image again that is damaged on the disk', async () => {
    const world = deviceWithPending();
    await run(world);
    const { pending, ...rest } = world.state;
    world.state = { ...rest, pending: { desired: desired(3, 'new'), attempts: 0 } };
    world.damaged.add(imageIdOf('new'));
    world.calls.length = 0;
    await run(world);
    expect(world.calls).toContain('pull');
  });

  it.each(['pull', 'render'])(
    'that has stopped pods starts the previous set before a %s, which may take hours',
    async (slow) => {
      const world = deviceWithPending();
      world.needed = [rendering('1', 'new')];
      if (slow === 'render') {
        await run(world);
        world.damaged.add(treeIdOf('1'));
      }
      const { pending, current, ...rest } = world.state;
      const set = { version: 1, pods: [deployedPod('web-old')], imageIds: [imageIdOf('old')] };
      world.state = { ...rest, current: set, pending: { desired: desired(2, 'new'), attempts: 1 } };
      world.running.clear();
      const running: string[] = [];
      world.beforeCall = (call) => {
        if (call.startsWith(slow)) running.push(...world.running);
      };
      await run(world);
      expect(running).toEqual(['web-old']);
    },
  );

  it('remembers images of earlier ones, up to the limit of a state', async () => {
    const world = deviceWithPending();
    for (let version = 2; version < 60; version++) {
      const { pending: _none, ...rest } = world.state;
      world.state = { ...rest, pending: { desired: desired(version, `new-${version}`), attempts: 0 } };
      world.stagedUnits.clear();
      world.running.clear();
      await run(world);
    }
    const ids = world.state.images.map(({ id }) => id);
    expect(ids.slice(-2)).toEqual([imageIdOf('new-58'), imageIdOf('new-59')]);
    expect(ids.length).toBeLessThan(40);
  });

  it('renders a tree that layers cannot form, remembers it, and finds it again', async () => {
    const world = deviceWithPending();
    world.needed = [rendering('1', 'new')];
    await run(world);
    const order = world.calls.filter((call) => /^(pull|render|stage)/.test(call));
    expect(order).toEqual(['pull', `render ${treeIdOf('1')}`, 'stage']);
    expect(world.reserved).toContain(treeIdOf('1'));
    expect(world.state.current?.treeIds).toEqual([treeIdOf('1')]);
    expect(world.state.trees).toMatchObject([{ id: treeIdOf('1'), imageIds: [imageIdOf('new')] }]);

    for (const version of [3, 4]) {
      if (version === 4) world.damaged.add(treeIdOf('1'));
      const { pending: _none, ...rest } = world.state;
      world.state = { ...rest, pending: { desired: desired(version, 'new'), attempts: 0 } };
      world.calls.length = 0;
      await run(world);
      expect(world.calls.includes(`render ${treeIdOf('1')}`), `version ${version}`).toBe(version === 4);
      expect(world.state.trees).toHaveLength(1);
    }
  });

  it('reserves space for an announced tree before it downloads', async () => {
    const world = deviceWithPending();
    const announced = desired(2, 'new');
    const images = announced.images.map((image) => ({ ...image, renderedBytes: 40 }));
    world.state = { ...world.state, pending: { desired: { ...announced, images }, attempts: 0 } };
    world.needed = [rendering('1', 'new')];
    const room: string[][] = [];
    const reserve = world.reserve.bind(world);
    world.reserve = async (sizes) => {
      room.push([...world.calls.filter((call) => call === 'pull'), ...sizes.map(({ id }) => id)]);
      await reserve(sizes);
    };
    await run(world);
    expect(room).toEqual([
      [imageIdOf('new'), `tree of ${imageIdOf('new')}`],
      ['pull', treeIdOf('1')],
    ]);
  });

  it('reserves no space for an announced tree that is stored', async () => {
    const world = deviceWithPending();
    const announced = desired(2, 'new');
    const images = announced.images.map((image) => ({ ...image, renderedBytes: 40 }));
    const tree = { id: treeIdOf('1'), name: 'example.com/web', sizeBytes: 1, sha256: '' };
    world.state = {
      ...world.state,
      trees: [{ ...tree, imageIds: [imageIdOf('new')] }],
      pending: { desired: { ...announced, images }, attempts: 0 },
    };
    world.needed = [rendering('1', 'new')];
    await run(world);
    expect(world.reserved).toEqual([imageIdOf('new')]);
  });

  it('collects garbage if a volume does not fit, and only then refuses', async () => {
    const world = deviceWithPending();
    const stage = world.stage.bind(world);
    let isFull = true;
    world.stage = async (state) => {
      if (isFull) throw new Refusal('no-space', 'volumes with a limit need 16Mi more');
      return await stage(state);
    };
    const collect = world.collect.bind(world);
    world.collect = async () => {
      isFull = false;
      await collect();
    };
    await run(world);
    expect(world.state.last).toMatchObject({ phase: 'committed' });

    const full = deviceWithPending();
    full.refuse = { stage: 'no-space' };
    await run(full);
    expect(full.state.last).toMatchObject({ phase: 'refused', code: 'no-space' });
    expect(full.calls.filter((call) => /^(stage|collect)$/.test(call))).toEqual([
      'stage',
      'collect',
      'stage',
    ]);
  });

  it('remembers only the trees that the current and the previous deployment need', async () => {
    const world = deviceWithPending();
    for (let version = 2; version < 7; version++) {
      world.needed = [rendering(`${version}`, 'new')];
      const { pending: _none, ...rest } = world.state;
      world.state = { ...rest, pending: { desired: desired(version, 'new'), attempts: 0 } };
      await run(world);
    }
    // The next tree makes the device forget earlier ones.
    expect(world.state.trees?.map(({ id }) => id)).toEqual([treeIdOf('4'), treeIdOf('5'), treeIdOf('6')]);
    expect(decodeState(encodeState(world.state))).toEqual(world.state);
  });

  it('of a state without rendered trees is resumed', async () => {
    const world = deviceWithPending();
    const { pending, ...rest } = world.state;
    const old = encodeState(rest);
    expect(Buffer.from(old).includes('tree')).toBe(false);
    world.state = { ...decodeState(old), ...(pending === undefined ? {} : { pending }) };
    world.needed = [rendering('1', 'new')];
    await run(world);
    expect(world.state.trees).toHaveLength(1);
  });

  it('remembers manifests with long path whitelists over a restart', () => {
    const { state } = deviceWithPending();
    const image = { id: imageIdOf('a'), name: 'example.com/a', sizeBytes: 1, sha256: '' };
    const images = Array.from({ length: 4 }, () => ({ ...image, manifest: Buffer.alloc(1 << 20, 'x') }));
    const { pending: _none, ...rest } = { ...state, images };
    expect(decodeState(encodeState(rest)).images).toHaveLength(4);
  });

  it('does not touch an unchanged pod [C43]', async () => {
    const world = deviceWithPending();
    world.state = { ...world.state, pending: { desired: desired(2, 'old'), attempts: 0 } };
    await run(world);
    expect(world.calls.filter((call) => /^(stop|start)/.test(call))).toEqual([]);
    expect(world.state.current?.version).toBe(2);
  });

  it('forgets the units of a pod that got other units, as with other values of secrets', async () => {
    const world = deviceWithPending();
    const [old] = world.enabled;
    if (old === undefined) throw new Error('nothing runs');
    const changed = { ...old, services: old.services.map((one) => ({ ...one, unit: 'web-2.service' })) };
    world.stage = () => Promise.resolve([changed]);
    const forgotten: DeployedPod[] = [];
    world.forget = (pods) => Promise.resolve(void forgotten.push(...pods));
    await run(world);
    expect(world.state.current?.pods).toEqual([changed]);
    expect(forgotten).toEqual([old]);
  });

  it('forgets the unit that delivered the old values of secrets', async () => {
    const world = deviceWithPending();
    const deliveries = (pod: DeployedPod | undefined, delivery: string): DeployedPod[] =>
      pod === undefined
        ? []
        : [{ ...pod, services: pod.services.map((service) => ({ ...service, delivery })) }];
    const [running] = world.enabled;
    const current = deliveries(running, 'wherry-secrets-1.service');
    if (world.state.current === undefined) throw new Error('nothing runs');
    world.state = { ...world.state, current: { ...world.state.current, pods: current } };
    const { pending: _none, ...saved } = world.state;
    expect(decodeState(encodeState(saved)).current?.pods).toEqual(current);
    world.stage = () => Promise.resolve(deliveries(running, 'wherry-secrets-2.service'));
    const forgotten: DeployedPod[] = [];
    world.forget = (pods) => Promise.resolve(void forgotten.push(...pods));
    await run(world);
    expect(forgotten).toEqual(current);
  });

  it.each(['reserve', 'pull', 'render', 'stage'] as const)(
    'that fails in %s is refused and touches nothing [C41]',
    async (step) => {
      const world = deviceWithPending();
      world.needed = [rendering('1', 'new')];
      world.refuse = { [step]: 'no-space' };
      const told = await run(world);
      expect(told.at(-1)).toMatchObject({ version: 2, phase: 'refused', code: 'no-space' });
      expect(world.calls.filter((call) => /^(stop|start|enable)/.test(call))).toEqual([]);
      expect(world.state.current?.version).toBe(1);
      expect(world.state.last).toMatchObject({ phase: 'refused' });
    },
  );

  it.each(['start', 'probation'] as const)(
    'that fails in its %s brings the previous set back [C41]',
    async (step) => {
      const world = deviceWithPending();
      world.refuse = { [step]: 'probation-failed' };
      const told = await run(world);
      expect(told.at(-1)).toMatchObject({ version: 2, phase: 'rolled-back', code: 'probation-failed' });
      expect([...world.running]).toEqual(['web-old']);
      expect(world.enabled.map((pod) => pod.name)).toEqual(['web-old']);
      expect([...world.stagedUnits]).toEqual(['web-old']);
    },
  );

  // Whatever the disk does from one call on: the report must not stay in a phase.
  it.each([
    ['stage', [], 'refused'],
    ['save', ['activate'], 'refused'],
    ['save', ['probation'], 'rolled-back'],
    ['enable', ['probation'], 'rolled-back'],
  ] as const)('ends if no %s after %j succeeds, with the path [C290]', async (call, after, phase) => {
    const world = deviceWithPending();
    let fails = after.length === 0;
    const told: DeploymentReport[] = [];
    world.beforeCall = (name) => {
      if (fails && name === call) throw diskFault('/state-b.cbor');
    };
    const observe = (report: DeploymentReport): void => {
      told.push(report);
      fails ||= after.some((one) => one === report.phase);
    };
    const running = runDeployment(world, world, observe, never, clock);
    // What cannot be saved at the end is logged by the caller.
    await running.catch((error: unknown) => expect(error).toMatchObject({ code: 'EROFS' }));
    expect(told.at(-1)).toMatchObject({
      ...{ version: 2, phase, code: 'disk-failed' },
      message:
        'version 2 cannot be deployed: /state-b.cbor: the file system is mounted read-only; check the disk and its mount',
    });
    expect([...world.running]).toEqual(['web-old']);
    expect([...world.stagedUnits]).toEqual(['web-old']);
  });

  it('whose end was not saved is carried out once more, and answered as it ends then [C290]', async () => {
    const world = deviceWithPending();
    let fails = false;
    world.beforeCall = (name) => {
      if (fails && name === 'save') throw diskFault('/state-b.cbor');
    };
    const told: DeploymentReport[] = [];
    const observe = (report: DeploymentReport): void => {
      told.push(report);
      fails ||= report.phase === 'probation';
    };
    await runDeployment(world, world, observe, never, clock).catch(() => undefined);
    expect(told.at(-1)).toMatchObject({ phase: 'rolled-back', code: 'disk-failed' });

    fails = false;
    world.calls.length = 0;
    expect((await run(world)).at(-1)).toEqual({ version: 2, phase: 'committed' });
    expect(world.calls.filter((call) => /^(stop|start) web/.test(call))).toEqual([
      'stop web-old',
      'start web-new',
    ]);
    expect([...world.running]).toEqual(['web-new']);
    expect(await run(world)).toEqual([]);
  });

  it('is given up when its end was not saved in three activations [C46] [C290]', async () => {
    const world = deviceWithPending();
    let fails = false;
    world.beforeCall = (name) => {
      if (fails && name === 'save') throw diskFault('/state-b.cbor');
    };
    for (let activation = 0; activation < 3; activation++) {
      fails = false;
      const observe = (report: DeploymentReport): void => void (fails ||= report.phase === 'probation');
      await runDeployment(world, world, observe, never, clock).catch(() => undefined);
    }
    fails = false;
    world.calls.length = 0;
    expect((await run(world)).at(-1)).toMatchObject({
      ...{ version: 2, phase: 'rolled-back', code: 'activation-failed' },
      message:
        'version 2 is given up: its activation was begun 3 times and no end was saved, because the device went down or its disk was full or failed',
    });
    expect(world.calls.filter((call) => /^(stop|start) web/.test(call))).toEqual([]);
    expect([...world.running]).toEqual(['web-old']);
  });

  it('of several pods runs all of them, or none if one does not start [C42]', async () => {
    const two = {
      ...desired(2, 'new'),
      pods: ['web', 'db'].map((name) => ({ name: name as AcName, manifest: Buffer.from('new') })),
    };
    const world = deviceWithPending();
    world.state = { ...world.state, pending: { desired: two, attempts: 0 } };
    world.refuseCall = 'start db-new';
    const told = await run(world);
    expect(told.at(-1)).toMatchObject({ phase: 'rolled-back', code: 'activation-failed' });
    expect([...world.running]).toEqual(['web-old']);

    world.refuseCall = '';
    world.state = { ...world.state, pending: { desired: { ...two, version: 3 }, attempts: 0 } };
    expect((await run(world)).at(-1)).toMatchObject({ phase: 'committed' });
    expect([...world.running]).toEqual(['web-new', 'db-new']);
  });

  it('is superseded by a newer one and reports that', async () => {
    const world = deviceWithPending();
    const abort = new AbortController();
    abort.abort(new Superseded(3));
    const told = await run(world, abort.signal);
    expect(told.at(-1)).toMatchObject({ version: 2, phase: 'superseded', code: 'superseded' });
  });

  it('that is superseded between two steps starts nothing more and brings every pod back', async () => {
    const world = deviceWithPending();
    const pods = [deployedPod('web-old'), deployedPod('log-old')];
    world.enabled = pods;
    world.boot();
    world.state = { ...world.state, current: { version: 1, pods, imageIds: [imageIdOf('old')] } };
    const abort = new AbortController();
    world.beforeCall = (call) => {
      if (call === 'stop log-old') abort.abort(new Superseded(3));
    };
    expect((await run(world, abort.signal)).at(-1)).toMatchObject({ phase: 'superseded' });
    expect(world.calls).not.toContain('start web-new');
    expect([...world.running]).toEqual(['web-old', 'log-old']);
  });

  it('stays pending when the daemon stops', async () => {
    const world = deviceWithPending();
    const abort = new AbortController();
    abort.abort(new Error('stopping'));
    await run(world, abort.signal);
    expect(world.state.pending?.desired.version).toBe(2);
  });

  it('that crashes the device in three activations is rolled back [C46]', async () => {
    const world = deviceWithPending();
    for (let boots = 0; boots < 3; boots++) {
      const abort = new AbortController();
      world.probation = () => {
        abort.abort(new Error('power'));
        return Promise.reject(new Error('power'));
      };
      await run(world, abort.signal);
      world.boot();
      expect([...world.running]).toEqual(['web-old']);
    }
    const told = await run(world);
    expect(told.at(-1)).toMatchObject({ phase: 'rolled-back', code: 'activation-failed' });
    expect([...world.running]).toEqual(['web-old']);
  });
});

describe('a power cut', () => {
  it('before any step leaves the old or the new set, and the deployment still ends [C45]', async () => {
    const steps = await countSteps();
    expect(steps).toBeGreaterThan(10);
    for (let cutAt = 0; cutAt < steps; cutAt++) {
      const world = deviceWithPending();
      world.needed = [rendering('1', 'new')];
      world.cutAt = cutAt;
      await runDeployment(world, world, () => undefined, powerless(world), clock).catch((error: unknown) => {
        expect(error).toBeInstanceOf(PowerCut);
      });
      world.boot();
      expect([['web-old'], ['web-new']]).toContainEqual([...world.running]);
      world.cutAt = Number.POSITIVE_INFINITY;
      if (world.state.pending !== undefined) await run(world);
      expect([...world.running], `cut before step ${cutAt}`).toEqual(['web-new']);
      expect(world.enabled.map((pod) => pod.name)).toEqual(['web-new']);
      expect(world.state.current).toMatchObject({ version: 2, treeIds: [treeIdOf('1')] });
      expect(world.state.trees).toHaveLength(1);
    }
  });
});

function diskFault(path: string): Error {
  return Object.assign(new Error('EROFS: read-only file system'), { code: 'EROFS', syscall: 'open', path });
}

/** A signal that is aborted when the power is cut, as at the end of the daemon. */
function powerless(world: WorldModel): AbortSignal {
  const abort = new AbortController();
  const push = world.calls.push.bind(world.calls);
  world.calls.push = (...calls: string[]) => {
    if (calls.includes('power cut')) abort.abort(new PowerCut());
    return push(...calls);
  };
  return abort.signal;
}

async function countSteps(): Promise<number> {
  const world = deviceWithPending();
  world.needed = [rendering('1', 'new')];
  await run(world);
  return world.calls.length;
}

describe('the table of phases', () => {
  const rows = Object.entries(transitions).flatMap(([phase, events]) =>
    Object.entries(events).map(([event, next]) => ({ phase, event, next })),
  );
  /** The step of each phase that a test can make fail. */
  const steps = {
    ...{ fetch: 'pull', stage: 'stage', wait: 'untilNextLook', activate: 'start' },
    probation: 'probation',
  } as const;

  it.each(rows)('drives a run: $event in $phase leads to $next', async ({ phase, event, next }) => {
    const world = deviceWithPending();
    const step = steps[phase as keyof typeof steps];
    // Only a held deployment reports this.
    if (phase === 'wait' || next === 'wait') world.waits = event === 'open' ? [] : ['locked'];
    const abort = new AbortController();
    if (event === 'newer') {
      world.beforeCall = (call) => {
        if (
          call.startsWith(
            { activate: 'start', fetch: 'pull', stage: 'stage', wait: 'wait', probation: 'probation' }[
              phase
            ] ?? '-',
          )
        )
          abort.abort(new Superseded(3));
      };
    }
    if (event === 'failed-late' && world.state.pending !== undefined)
      world.state = { ...world.state, pending: { ...world.state.pending, attempts: 1 } };
    if (event === 'failed' && phase === 'activate') {
      // Before a pod is touched, the attempt is counted on the disk.
      const save = world.save.bind(world);
      world.save = async (state) => {
        if ((state.pending?.attempts ?? 0) > 0) throw new Refusal('no-space', 'the disk is full');
        await save(state);
      };
    } else if (event.startsWith('failed')) world.refuse = { [step]: 'no-space' };
    const phases = (await run(world, abort.signal)).map((report) => report.phase);
    const order = phases.filter((one, at) => one !== phases[at - 1]).join();
    if (event === 'open') expect(order).toContain('stage,activate');
    else expect(order).toContain(`${phase},${next}`);
  });

  it('reports a run that cannot clean up after its commit as committed', async () => {
    const world = deviceWithPending();
    world.refuse = { forget: 'internal' };
    const told: DeploymentReport[] = [];
    const running = runDeployment(world, world, (report) => told.push(report), never, clock);
    await expect(running).rejects.toThrow(/refuses forget/);
    expect(told.at(-1)).toMatchObject({ version: 2, phase: 'committed' });
    expect([...world.running]).toEqual(['web-new']);
  });
});
