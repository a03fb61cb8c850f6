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
 * The names of the timer of a pod and of its run. Units of apps have other names with other
 * secrets. The run names these units, so then it has another name, too, and so has its timer.
 *
 * @param units of all apps, by their names
 */
export function scheduleNames(places: PodPlaces, units: ReadonlyMap<string, string>): ScheduleNames {
  const changing = [...units].filter(([app, unit]) => unit !== places.service(app)).map(([, unit]) => unit);
  return places.schedule(changing.length === 0 ? undefined : secretsRevision([], changing));
}

/** What starts a pod by its schedule, instead of the boot and the deployment. */
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
