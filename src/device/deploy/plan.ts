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
  /** From here on these are the pods that are watched and reported. */
  | { readonly do: 'adopt'; readonly pods: readonly DeployedPod[] }
  /** Unmounts an object, so that the next start mounts the one that replaced it. */
  | ({ readonly do: 'unmount' } & ReplacedObject)
  | { readonly do: 'start'; readonly pod: string; readonly app: string; readonly unit: string };

/**
 * The steps after which exactly the pods of `wanted` run. What runs already and has not changed is
 * in no step, so a second plan after the first was carried out only adopts the set.
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
    wanted.flatMap((pod) => [pod.slice, ...pod.mounts, ...pod.services.map(({ unit }) => unit)]),
  );
  const foreign = loaded
    .filter(({ name, activeState }) => activeState !== 'inactive' && !kept.has(name))
    .map(({ name }) => name);
  const mounts = new Set(replaced.map(({ mount }) => mount));
  const usesReplaced = (pod: DeployedPod): boolean => pod.mounts.some((mount) => mounts.has(mount));
  const running = new Set(
    loaded
      .filter(({ activeState }) => activeState === 'active' || activeState === 'activating')
      .map(({ name }) => name),
  );
  const outdated = wanted.filter(usesReplaced).flatMap((pod) => pod.services.map(({ unit }) => unit));
  return [
    // Services first: a slice that is stopped kills what is in it without its own stop sequence.
    ...stop(
      foreign.filter((name) => !name.endsWith('.slice') && !isNetwork(name)),
      'not in the set',
    ),
    // They stop by themselves, but addresses and ports must be free before others are started.
    ...stop(foreign.filter(isNetwork), 'not in the set'),
    ...stop(
      foreign.filter((name) => name.endsWith('.slice')),
      'not in the set',
    ),
    { do: 'adopt', pods: wanted },
    ...stop(outdated, 'image replaced'),
    ...replaced.map((object): Step => ({ do: 'unmount', ...object })),
    ...wanted.flatMap((pod) =>
      pod.services
        .filter(({ unit }) => usesReplaced(pod) || !running.has(unit))
        .map(({ app, unit }): Step => ({ do: 'start', pod: pod.name, app, unit })),
    ),
  ];
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
    case 'start':
      return `start app ${step.app} of pod ${step.pod}`;
  }
}
