import { readCgroup } from '../health/index.ts';
import { readCgroupFile } from '../host/index.ts';
import { type AppUnit, appUnits, unitsOfPod } from './app-units.ts';

/**
 * The resource usage of an app; null where the kernel does not count it, and for an app that does
 * not run.
 */
export interface AppUsage {
  readonly pod: string;
  readonly app: string;
  readonly pid: number | null;
  /** Processor time since the app was started. */
  readonly cpuUsec: number | null;
  readonly memoryBytes: number | null;
  readonly memoryPeakBytes: number | null;
  /** Null without a limit. */
  readonly memoryMaxBytes: number | null;
  readonly tasks: number | null;
}

export interface UsageSample {
  /** Monotonic time: only the difference of two samples has a meaning. */
  readonly monotonicMs: number;
  readonly apps: readonly AppUsage[];
}

/**
 * Reads what the apps of this device use now from their control groups.
 *
 * @param pod all pods without it
 * @throws Refusal `not-found` for a pod that does not exist, `device-unsupported` without systemd
 */
export async function sampleUsage(monotonicMs: () => number, pod?: string): Promise<UsageSample> {
  const units = await appUnits();
  const chosen = pod === undefined ? units : unitsOfPod(units, pod);
  return { monotonicMs: monotonicMs(), apps: chosen.map(usageOf) };
}

export function usageOf({ pod, app, mainPid, controlGroup }: AppUnit): AppUsage {
  const found = readCgroup(controlGroup, readCgroupFile);
  return {
    ...{ pod, app, pid: mainPid === 0 ? null : mainPid },
    cpuUsec: found.cpuUsec ?? null,
    memoryBytes: found.memoryBytes ?? null,
    memoryPeakBytes: found.memoryPeakBytes ?? null,
    memoryMaxBytes: found.memoryMaxBytes ?? null,
    tasks: found.tasks ?? null,
  };
}

export interface AppLoad extends AppUsage {
  /**
   * In percent of one processor, between the two samples; null for an app that was started between
   * them.
   */
  readonly cpuPercent: number | null;
}

/** The processor usage of the apps of `after` since `before`. */
export function loadBetween(before: UsageSample, after: UsageSample): readonly AppLoad[] {
  const elapsedUsec = (after.monotonicMs - before.monotonicMs) * 1000;
  return after.apps.map((now) => {
    const then = before.apps.find(
      ({ pod, app, pid }) => pod === now.pod && app === now.app && pid === now.pid,
    );
    const known = then?.cpuUsec !== undefined && then.cpuUsec !== null && now.cpuUsec !== null;
    if (!known || elapsedUsec <= 0 || now.cpuUsec < then.cpuUsec) return { ...now, cpuPercent: null };
    return { ...now, cpuPercent: Math.round((1000 * (now.cpuUsec - then.cpuUsec)) / elapsedUsec) / 10 };
  });
}
