import type { DeployedPod } from './state.ts';

/** A unit of a pod that systemd has loaded, with its ActiveState. */
export interface LoadedUnit {
  readonly name: string;
  readonly activeState: string;
}

/** An object that was replaced on disk while the old one is still mounted. */
export interface ReplacedObject {
  /** ID of an image or of a rendered tree. */
  readonly id: string;
  /** Its mount unit. */
  readonly mount: string;
}

/**
 * One step of an activation. A step is completed before the next begins. A run that is interrupted
 * between two steps plans again.
 */
export type Step =
  /** Stops these units, all at once. */
  | {
      readonly do: 'stop';
      readonly units: readonly string[];
      readonly why: 'not in the set' | 'image replaced';
    }
  /** Makes these the pods that are watched and reported. */
  | { readonly do: 'adopt'; readonly pods: readonly DeployedPod[] }
  /** Unmounts an object, so that the next start mounts the one that replaced it. */
  | ({ readonly do: 'unmount' } & ReplacedObject)
  /** Delivers the values of an app's secrets; if the app runs, it is signalled. */
  | { readonly do: 'deliver'; readonly pod: string; readonly app: string; readonly unit: string }
  | { readonly do: 'start'; readonly pod: string; readonly app: string; readonly unit: string }
  /** Starts the timer of a scheduled pod. Only the timer starts its apps. */
  | { readonly do: 'schedule'; readonly pod: string; readonly unit: string };

/**
 * The steps after which exactly the pods of `wanted` run. Running pods that have not changed are in
 * no step, so a second plan after the first was carried out only adopts the set.
 *
 * @param loaded the services, networks and slices of pods that systemd has loaded
 * @param wanted in start order
 */
export function planActivation(
  loaded: readonly LoadedUnit[],
  wanted: readonly DeployedPod[],
  replaced: readonly ReplacedObject[],
): readonly Step[] {
  const kept = new Set(
    wanted.flatMap((pod) => [
      ...[pod.slice, ...pod.mounts, ...timerOf(pod)],
      ...pod.services.flatMap(unitsOfService),
    ]),
  );
  const strange = loaded.filter(({ name }) => !kept.has(name));
  const timers = strange.filter(({ name, activeState }) => isTimer(name) && activeState !== 'inactive');
  const timed = new Set(timers.map(({ name }) => podOf(name)));
  // A timer may start a run between this query and its own stop.
  const foreign = strange
    .filter(({ name, activeState }) => activeState !== 'inactive' || timed.has(podOf(name)))
    .map(({ name }) => name)
    .filter((name) => !isTimer(name));
  const mounts = new Set(replaced.map(({ mount }) => mount));
  const usesReplaced = (pod: DeployedPod): boolean => pod.mounts.some((mount) => mounts.has(mount));
  const running = new Set(
    loaded
      .filter(({ activeState }) => activeState === 'active' || activeState === 'activating')
      .map(({ name }) => name),
  );
  // One that is retried is delivered by a step, which fails if it fails.
  const delivered = new Set(
    loaded.filter(({ activeState }) => activeState === 'active').map(({ name }) => name),
  );
  const outdated = wanted.filter(usesReplaced);
  return [
    // Timers first, so that they start no more runs.
    ...stop(
      timers.map(({ name }) => name),
      'not in the set',
    ),
    // Services before slices: stopping a slice kills its processes without their stop sequence.
    ...stop(
      foreign.filter((name) => !name.endsWith('.slice') && !isNetwork(name)),
      'not in the set',
    ),
    // Networks stop by themselves, but addresses and ports must be free before others are started.
    ...stop(foreign.filter(isNetwork), 'not in the set'),
    ...stop(
      foreign.filter((name) => name.endsWith('.slice')),
      'not in the set',
    ),
    { do: 'adopt', pods: wanted },
    ...stop(outdated.flatMap(timerOf), 'image replaced'),
    ...stop(
      outdated.flatMap((pod) => pod.services.map(({ unit }) => unit)),
      'image replaced',
    ),
    ...replaced.map((object): Step => ({ do: 'unmount', ...object })),
    ...wanted.flatMap((pod) => {
      const isDue = (unit: string): boolean => usesReplaced(pod) || !running.has(unit);
      if (pod.timer !== undefined) {
        return timerOf(pod)
          .filter(isDue)
          .map((unit): Step => ({ do: 'schedule', pod: pod.name, unit }));
      }
      return pod.services.flatMap(({ app, unit, delivery }): Step[] => [
        ...(delivery === undefined || delivered.has(delivery)
          ? []
          : [{ do: 'deliver' as const, pod: pod.name, app, unit: delivery }]),
        ...(isDue(unit) ? [{ do: 'start' as const, pod: pod.name, app, unit }] : []),
      ]);
    }),
  ];
}

/** The unit of an app, and the one that delivers its secrets. */
export function unitsOfService({ unit, delivery }: DeployedPod['services'][number]): readonly string[] {
  return delivery === undefined ? [unit] : [unit, delivery];
}

function timerOf({ timer }: DeployedPod): readonly string[] {
  return timer === undefined ? [] : [timer];
}

function isTimer(unit: string): boolean {
  return unit.endsWith('.timer');
}

/** The part of a unit's name that is common to all units of one pod, and unique to that pod. */
function podOf(unit: string): string | undefined {
  return /^wherry-[a-z]+-([^.]+\.[0-9a-f]{8})/.exec(unit)?.[1];
}

function isNetwork(unit: string): boolean {
  return unit.startsWith('wherry-network-');
}

function stop(units: readonly string[], why: Extract<Step, { do: 'stop' }>['why']): Step[] {
  return units.length === 0 ? [] : [{ do: 'stop', units, why }];
}

/** A step in words, for reports and the journal; undefined for one that takes no time. */
export function describeStep(step: Step): string | undefined {
  switch (step.do) {
    case 'stop': {
      const [first = '', ...others] = step.units;
      const more = others.length === 0 ? '' : ` and ${others.length} more`;
      return `stop ${first}${more}, ${step.why}`;
    }
    case 'adopt':
      return undefined;
    case 'unmount':
      return `unmount ${step.mount}, replaced`;
    case 'deliver':
      return `deliver secrets to app ${step.app} of pod ${step.pod}`;
    case 'start':
      return `start app ${step.app} of pod ${step.pod}`;
    case 'schedule':
      return `start the timer of pod ${step.pod}`;
  }
}
