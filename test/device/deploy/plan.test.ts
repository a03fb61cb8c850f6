import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  describeStep,
  planActivation,
  type LoadedUnit,
  type Step,
  type DeployedPod,
} from '../../../src/device/deploy/index.ts';
import { deployedPod } from '../../support/world-model.ts';

const web = deployedPod('web', ['image-a']);
const db = deployedPod('db', ['image-b', 'image-shared']);
const log = deployedPod('log', ['image-shared']);

function loaded(...pods: readonly DeployedPod[]): LoadedUnit[] {
  return pods.flatMap((pod) =>
    [...pod.services.map(({ unit }) => unit), pod.slice].map((name) => ({ name, activeState: 'active' })),
  );
}

const replaced = (id: string) => ({ id, mount: `${id}.mount` });
const adopt = (...pods: readonly DeployedPod[]): Step => ({ do: 'adopt', pods });
const start = ({ name }: DeployedPod): Step => ({
  ...{ do: 'start', pod: name, app: 'main', unit: `${name}.service` },
});

describe('the plan of an activation', () => {
  it('starts every app, in the order of the set, if nothing runs', () => {
    expect(planActivation([], [web, db], [])).toEqual([adopt(web, db), start(web), start(db)]);
  });

  it('stops all services that are not in the set together, and then their slices', () => {
    expect(planActivation(loaded(web, db), [log], [])).toEqual([
      { do: 'stop', units: ['web.service', 'db.service'], why: 'not in the set' },
      { do: 'stop', units: ['web.slice', 'db.slice'], why: 'not in the set' },
      adopt(log),
      start(log),
    ]);
  });

  it('stops networks after their apps and before other pods need the addresses', () => {
    const network = 'wherry-network-web.service';
    const attached = { ...web, mounts: [...web.mounts, network] };
    const units = [...loaded(web), { name: network, activeState: 'active' }];
    expect(planActivation(units, [log], [])).toEqual([
      { do: 'stop', units: ['web.service'], why: 'not in the set' },
      { do: 'stop', units: [network], why: 'not in the set' },
      { do: 'stop', units: ['web.slice'], why: 'not in the set' },
      adopt(log),
      start(log),
    ]);
    expect(planActivation(units, [attached], [])).toEqual([adopt(attached)]);
  });

  it('does not touch a running pod of the set [C43]', () => {
    expect(planActivation(loaded(web, db), [web], [])).toEqual([
      { do: 'stop', units: ['db.service'], why: 'not in the set' },
      { do: 'stop', units: ['db.slice'], why: 'not in the set' },
      adopt(web),
    ]);
  });

  describe('of a version with other values of secrets for an app that is signalled', () => {
    const unit = (revision: string) => `wherry-secrets-web.0123abcd-main.${revision}.service`;
    const withValues = (revision: string): DeployedPod => ({
      ...web,
      services: web.services.map((service) => ({ ...service, delivery: unit(revision) })),
    });
    const deliver = (revision: string): Step => ({
      ...{ do: 'deliver', pod: 'web', app: 'main', unit: unit(revision) },
    });
    const active = (revision: string, activeState = 'active') => ({ name: unit(revision), activeState });

    it('delivers them and leaves the app alone [C353] [C354]', () => {
      expect(planActivation([...loaded(web), active('1')], [withValues('2')], [])).toEqual([
        { do: 'stop', units: [unit('1')], why: 'not in the set' },
        adopt(withValues('2')),
        deliver('2'),
      ]);
      expect(planActivation([...loaded(web), active('2')], [withValues('2')], [])).toEqual([
        adopt(withValues('2')),
      ]);
      expect(describeStep(deliver('2'))).toBe('deliver secrets to app main of pod web');
    });

    it('delivers before it starts the app', () => {
      const wanted = withValues('1');
      expect(planActivation([], [wanted], [])).toEqual([adopt(wanted), deliver('1'), start(web)]);
    });

    it('does not take a delivery that systemd retries for done', () => {
      const wanted = withValues('1');
      const units = [...loaded(web), active('1', 'activating')];
      expect(planActivation(units, [wanted], [])).toEqual([adopt(wanted), deliver('1')]);
    });
  });

  it('unmounts a replaced image between the stop and the start of all that use it', () => {
    expect(planActivation(loaded(web, db, log), [web, db, log], [replaced('image-shared')])).toEqual([
      adopt(web, db, log),
      { do: 'stop', units: ['db.service', 'log.service'], why: 'image replaced' },
      { do: 'unmount', ...replaced('image-shared') },
      start(db),
      start(log),
    ]);
  });

  it('unmounts a replaced image that no pod of the set uses', () => {
    expect(planActivation(loaded(web), [web], [replaced('image-b')])).toEqual([
      adopt(web),
      { do: 'unmount', ...replaced('image-b') },
    ]);
  });

  it.each([
    ['active', false],
    ['activating', false],
    ['inactive', true],
    ['failed', true],
    ['deactivating', true],
  ])('starts an app of the set that systemd calls %s: %s', (activeState, starts) => {
    const steps = planActivation([{ name: 'web.service', activeState }], [web], []);
    expect(steps).toEqual(starts ? [adopt(web), start(web)] : [adopt(web)]);
  });

  it.each([
    ['inactive', false],
    ['failed', true],
    ['deactivating', true],
  ])('stops a unit outside of the set that systemd calls %s: %s', (activeState, stops) => {
    const [first] = planActivation([{ name: 'old.service', activeState }], [], []);
    expect(first).toEqual(stops ? { do: 'stop', units: ['old.service'], why: 'not in the set' } : adopt());
  });
});

describe('the plan of an activation with scheduled pods', () => {
  const part = (pod: string) => `${pod}.0123abcd`;
  const scheduled = (pod: string, ...images: string[]): DeployedPod => ({
    ...deployedPod(`wherry-pod-${part(pod)}-main`, images),
    ...{ name: pod, slice: `wherry-pod-${part(pod)}.slice`, timer: `wherry-timer-${part(pod)}.timer` },
    mounts: [...images.map((id) => `${id}.mount`), `wherry-run-${part(pod)}.target`],
  });
  const backup = scheduled('backup', 'image-a');
  const [service, run, timer] = ['pod-X-main.service', 'run-X.target', 'timer-X.timer'].map(
    (name) => `wherry-${name.replace('X', part('backup'))}`,
  ) as [string, string, string];
  const units = (states: Readonly<Record<string, string>>): LoadedUnit[] =>
    Object.entries(states).map(([name, activeState]) => ({ name, activeState }));
  const waiting = units({ [service]: 'inactive', [run]: 'inactive', [timer]: 'active' });
  const schedule: Step = { do: 'schedule', pod: 'backup', unit: timer };

  it('starts the timer, and no app', () => {
    expect(planActivation([], [backup, web], [])).toEqual([adopt(backup, web), schedule, start(web)]);
  });

  it('leaves a timer of the set alone, whether its pod runs or not', () => {
    expect(planActivation(waiting, [backup], [])).toEqual([adopt(backup)]);
    const running = units({ [service]: 'activating', [run]: 'inactive', [timer]: 'active' });
    expect(planActivation(running, [backup], [])).toEqual([adopt(backup)]);
  });

  it('[C220] stops a timer first, and then what it may have started meanwhile', () => {
    expect(planActivation([...waiting, ...loaded(db)], [web], [])).toEqual([
      { do: 'stop', units: [timer], why: 'not in the set' },
      { do: 'stop', units: [service, run, 'db.service'], why: 'not in the set' },
      { do: 'stop', units: ['db.slice'], why: 'not in the set' },
      adopt(web),
      start(web),
    ]);
  });

  it('[C220] allows no run to begin while an image is replaced', () => {
    expect(planActivation(waiting, [backup], [replaced('image-a')])).toEqual([
      adopt(backup),
      { do: 'stop', units: [timer], why: 'image replaced' },
      { do: 'stop', units: [service], why: 'image replaced' },
      { do: 'unmount', ...replaced('image-a') },
      schedule,
    ]);
  });

  it('stops the rest of a pod whose timer is stopped already', () => {
    const left = units({ [service]: 'active', [run]: 'active', [timer]: 'inactive' });
    expect(planActivation(left, [], [])).toEqual([
      { do: 'stop', units: [service, run], why: 'not in the set' },
      adopt(),
    ]);
  });
});

describe('a plan that is interrupted anywhere and computed again', () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const pods = fc.subarray(names).map((some) => some.map((name) => deployedPod(name, [`image-${name}`])));
  const images = fc.subarray(names).map((some) => some.map((name) => replaced(`image-${name}`)));

  /** The loaded units after the first `count` steps. */
  function after(count: number, units: readonly LoadedUnit[], steps: readonly Step[]): LoadedUnit[] {
    const active = new Set(units.map(({ name }) => name));
    for (const step of steps.slice(0, count)) {
      if (step.do === 'stop') for (const unit of step.units) active.delete(unit);
      if (step.do === 'start') active.add(step.unit).add(step.unit.replace('.service', '.slice'));
    }
    return [...active].map((name) => ({ name, activeState: 'active' }));
  }

  it('ends with exactly the set, from new objects, and then is empty', () => {
    fc.assert(
      fc.property(pods, pods, images, fc.nat(), (running, wanted, outdated, cut) => {
        const units = loaded(...running);
        const first = planActivation(units, wanted, outdated);
        const count = cut % (first.length + 1);
        const done = first.slice(0, count);
        const left = outdated.filter(
          ({ id }) => !done.some((step) => step.do === 'unmount' && step.id === id),
        );
        const between = after(count, units, first);
        const second = planActivation(between, wanted, left);
        const end = after(second.length, between, second);
        expect(end.map(({ name }) => name).sort()).toEqual(
          loaded(...wanted)
            .map(({ name }) => name)
            .sort(),
        );
        expect(planActivation(end, wanted, [])).toEqual([adopt(...wanted)]);
        // Each app that runs at the end was started after its object was unmounted, or its object
        // was not replaced.
        const all = [...done, ...second];
        for (const pod of wanted) {
          const unmounted = all.findLastIndex(
            (step) => step.do === 'unmount' && pod.mounts.includes(step.mount),
          );
          const started = all.findLastIndex((step) => step.do === 'start' && step.pod === pod.name);
          if (unmounted >= 0) expect(started).toBeGreaterThan(unmounted);
        }
      }),
    );
  });
});

describe('a step in words', () => {
  it.each<[Step, string | undefined]>([
    [{ do: 'stop', units: ['a.service'], why: 'not in the set' }, 'stop a.service, not in the set'],
    [
      { do: 'stop', units: ['a.service', 'b.service'], why: 'image replaced' },
      'stop a.service and 1 more, image replaced',
    ],
    [adopt(web), undefined],
    [{ do: 'unmount', ...replaced('image-a') }, 'unmount image-a.mount, replaced'],
    [start(web), 'start app main of pod web'],
    [{ do: 'schedule', pod: 'web', unit: 'web.timer' }, 'start the timer of pod web'],
  ])('%j', (step, words) => {
    expect(describeStep(step)).toBe(words);
  });
});
