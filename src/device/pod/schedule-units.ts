import { unitText } from '../systemd/index.ts';
import type { PodSchedule } from './schedule.ts';

/** The timer of a scheduled pod. It alone starts at boot. */
export function timerUnit(podName: string, { expressions, catchUp }: PodSchedule, run: string): string {
  return unitText({
    Unit: { Description: `Schedule of pod ${podName}` },
    Timer: {
      OnCalendar: expressions,
      Persistent: catchUp,
      // The default of a minute is too coarse for many schedules.
      AccuracySec: 1,
      Unit: [run],
    },
  });
}

/**
 * One run of a scheduled pod. Apps and run have Wants= for each other: the run is active as long as
 * any app is, and stops when no unit needs it. The timer does not elapse while it is active.
 */
export function runUnit(podName: string, apps: readonly string[]): string {
  return unitText({
    Unit: { Description: `Run of pod ${podName}`, Wants: apps, StopWhenUnneeded: true },
  });
}
