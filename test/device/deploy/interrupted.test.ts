import { describe, expect, it } from 'vitest';
import type { AcName } from '../../../src/image/appc/index.ts';
import { runDeployment, Superseded, type World } from '../../../src/device/deploy/index.ts';
import type { DeploymentReport } from '../../../src/wire/report/index.ts';
import type { DesiredState } from '../../../src/wire/trust/index.ts';
import { desiredState } from '../../support/desired.ts';
import { imageIdOf, treeIdOf } from './ids.ts';
import { deployedPod, PowerCut, rendering, WorldModel } from '../../support/world-model.ts';

/**
 * Version 1 (`web-old`, `db-old`, `log-same`) runs. Version 2 replaces two of its three pods and
 * needs a rendered tree.
 */
function deviceWithPending(): WorldModel {
  const world = new WorldModel();
  const old = ['web-old', 'db-old', 'log-same'].map((name) => deployedPod(name));
  world.enabled = old;
  for (const { name } of old) world.stagedUnits.add(name);
  world.boot();
  world.needed = [rendering('1', 'new')];
  world.state = {
    ...world.state,
    trusted: { version: 2, payloadSha256: 'x', issued: 1 },
    current: { version: 1, pods: old, imageIds: [imageIdOf('old')] },
    pending: { desired: desired(2), attempts: 0 },
  };
  return world;
}

function desired(version: number): DesiredState {
  const pods = { web: 'new', db: 'new', log: 'same' };
  return {
    ...desiredState(version, 'new'),
    pods: Object.entries(pods).map(([name, content]) => ({
      name: name as AcName,
      manifest: new TextEncoder().encode(content),
    })),
  };
}

/** How the deployment ends after it is resumed. */
interface Fate {
  readonly name: string;
  readonly arrange: (world: WorldModel, abort: AbortController) => void;
}

const steps = ['reserve', 'pull', 'render', 'stage', 'start', 'probation'] as const satisfies (
  keyof World | 'start'
)[];
const refused: readonly Fate[] = steps.map((step) => ({
  name: `refused in ${step}`,
  arrange: (world) => {
    for (const id of [imageIdOf('new'), treeIdOf('1')]) world.damaged.add(id);
    world.refuse = { [step]: 'no-space' };
  },
}));
const superseded: readonly Fate[] = Array.from({ length: 16 }, (_, after) => ({
  name: `superseded before step ${after}`,
  arrange: (world, abort) => {
    const begun = world.calls.length;
    world.beforeCall = () => {
      if (world.calls.length === begun + after) abort.abort(new Superseded(3));
    };
  },
}));
const succeeds: Fate = { name: 'nothing', arrange: () => undefined };

/**
 * Runs until wherryd is killed before the step with this index, counted from now. False if the
 * deployment ended before.
 */
async function runUntilKilled(world: WorldModel, step: number): Promise<boolean> {
  const abort = new AbortController();
  world.cutAt = world.calls.length + step;
  world.onCut = () => abort.abort(new PowerCut());
  await runDeployment(world, world, () => undefined, abort.signal, { nowMs: () => 0 }).catch(
    (error: unknown) => {
      expect(error).toBeInstanceOf(PowerCut);
    },
  );
  world.cutAt = Number.POSITIVE_INFINITY;
  return abort.signal.aborted;
}

async function run(world: WorldModel, fate: Fate): Promise<DeploymentReport | undefined> {
  const abort = new AbortController();
  fate.arrange(world, abort);
  const told: DeploymentReport[] = [];
  await runDeployment(world, world, (report) => told.push(report), abort.signal, { nowMs: () => 0 });
  world.refuse = {};
  world.beforeCall = () => undefined;
  return told.at(-1);
}

/** Exactly one of the two sets runs, starts at boot, and is current in the state. */
function expectOneSet(world: WorldModel, when: string): void {
  const { state } = world;
  const names = state.current?.pods.map(({ name }) => name).sort();
  expect([...world.running].sort(), `${when}: what runs`).toEqual(names);
  expect(world.enabled.map(({ name }) => name).sort(), `${when}: what boots`).toEqual(names);
  expect(state.pending, when).toBeUndefined();
}

const interruptions = [
  ['wherryd is killed', () => undefined],
  ['the power is cut', (world: WorldModel) => world.boot()],
] as const;

describe.each(interruptions)('[C41] [C42] a deployment that is resumed after %s', (how, afterwards) => {
  it.each([...refused, ...superseded, succeeds])('ends with one whole set: $name', async (fate) => {
    for (let step = 0; ; step++) {
      const world = deviceWithPending();
      if (!(await runUntilKilled(world, step))) break;
      afterwards(world);
      const when = `${how} before step ${step}, then ${fate.name}`;
      const touched = (world.state.pending?.attempts ?? 0) > 0;
      const before = world.state.current?.version;
      const last = await run(world, fate);
      if (last !== undefined) {
        const failed = touched ? ['rolled-back'] : ['refused', 'rolled-back'];
        const outcomes = fate === succeeds ? ['committed'] : ['superseded', 'committed', ...failed];
        expect(outcomes, when).toContain(last.phase);
        if (last.phase !== 'committed') expect(world.state.current?.version, when).toBe(before);
      }
      expectOneSet(world, when);
    }
  });

  it('ends with one whole set after two interruptions', async () => {
    for (let first = 0; ; first++) {
      if (!(await runUntilKilled(deviceWithPending(), first))) break;
      for (let second = 0; ; second++) {
        const fates = refused.filter(({ name }) => /pull|stage|start/.test(name));
        let interrupted = false;
        for (const fate of fates) {
          const world = deviceWithPending();
          await runUntilKilled(world, first);
          afterwards(world);
          if (!(await runUntilKilled(world, second))) continue;
          interrupted = true;
          afterwards(world);
          await run(world, fate);
          expectOneSet(world, `${how} before step ${first} and ${second}, then ${fate.name}`);
        }
        if (!interrupted) break;
      }
    }
  });
});

describe('[C253] a previous set that hangs at its start', () => {
  const ends = [
    ['a newer command', new Superseded(3), 'rolled-back'],
    ['the end of wherryd', new Error('wherryd is stopping'), 'rolled-back'],
  ] as const;

  it.each(ends)('is not awaited after %s, and all of it is started', async (_, reason, phase) => {
    const world = deviceWithPending();
    world.refuse = { probation: 'probation-failed' };
    world.hanging.add('web-old');
    const abort = new AbortController();
    world.beforeCall = (call) => {
      if (call === 'start web-old') setImmediate(() => abort.abort(reason));
    };
    const told: DeploymentReport[] = [];
    await runDeployment(world, world, (report) => told.push(report), abort.signal, { nowMs: () => 0 });
    expect(told.at(-1)).toMatchObject({ version: 2, phase, code: 'probation-failed' });
    expectOneSet(world, 'after the abort');
  });

  it('is not awaited by the command that ended the activation', async () => {
    for (const step of ['start web-new', 'start db-new', 'probation']) {
      const world = deviceWithPending();
      for (const name of ['web-old', 'db-old']) world.hanging.add(name);
      const last = await run(world, {
        ...{
          name: '',
          arrange: (_, abort) =>
            (world.beforeCall = (call) => call === step && abort.abort(new Superseded(3))),
        },
      });
      expect(last).toMatchObject({ version: 2, phase: 'superseded' });
      expectOneSet(world, `superseded at ${step}`);
    }
  });

  it('is not awaited while an interrupted deployment downloads again', async () => {
    const world = deviceWithPending();
    world.state = { ...world.state, pending: { desired: desired(2), attempts: 1 } };
    world.running.clear();
    world.hanging.add('db-old');
    const last = await run(world, {
      name: '',
      arrange: (_, abort) =>
        (world.beforeCall = (call) =>
          call === 'start db-old' && setImmediate(() => abort.abort(new Superseded(3)))),
    });
    expect(last).toMatchObject({ version: 2, phase: 'superseded' });
    expectOneSet(world, 'superseded before the download');
  });
});

describe('a deployment whose activation was interrupted', () => {
  it('keeps the previous set running while it downloads and renders again [C42]', async () => {
    for (let step = 0; ; step++) {
      const world = deviceWithPending();
      if (!(await runUntilKilled(world, step))) break;
      for (const id of [imageIdOf('new'), treeIdOf('1')]) world.damaged.add(id);
      const whole = [world.state.current, world.state.previous].flatMap((set) =>
        set === undefined
          ? []
          : [
              set.pods
                .map(({ name }) => name)
                .sort()
                .join(),
            ],
      );
      const during: string[] = [];
      world.beforeCall = (call) => {
        if (/^(pull|render)/.test(call)) during.push([...world.running].sort().join());
      };
      await run(world, succeeds);
      for (const running of during) expect(whole, `killed before step ${step}`).toContain(running);
    }
  });
});
