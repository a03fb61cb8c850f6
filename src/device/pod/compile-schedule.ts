import type { CompiledPod } from './compiled-pod.ts';
import type { PodPlaces } from './places.ts';
import type { PodSchedule } from './schedule.ts';
import { runUnit, timerUnit } from './schedule-units.ts';
import { secretsRevision } from './secrets.ts';

export interface ScheduleNames {
  readonly timer: string;
  readonly run: string;
}

/**
 * The names of the timer of a pod and of its run. With new secrets, units of apps have new names.
 * The run names these units, so it and its timer get new names, too.
 *
 * @param units of all apps, by their names
 */
export function scheduleNames(places: PodPlaces, units: ReadonlyMap<string, string>): ScheduleNames {
  const changing = [...units].filter(([app, unit]) => unit !== places.service(app)).map(([, unit]) => unit);
  return places.schedule(changing.length === 0 ? undefined : secretsRevision([], changing));
}

/**
 * Compiles the units that start a pod by its schedule, instead of at boot and in the deployment.
 */
export function compileSchedule(
  podName: string,
  schedule: PodSchedule,
  { timer, run }: ScheduleNames,
  apps: readonly string[],
): Pick<CompiledPod, 'units'> & Required<Pick<CompiledPod, 'timer' | 'calendar'>> {
  return {
    timer,
    calendar: schedule.expressions,
    units: [
      { name: run, text: runUnit(podName, apps) },
      { name: timer, text: timerUnit(podName, schedule, run) },
    ],
  };
}
