import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import { systemClock } from '../../core/ports/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { places } from '../host/index.ts';
import { type AppRuns, type AppUnit, appUnits, podPart, unitsOfPod } from './app-units.ts';
import { isReplaced, outlastStart } from './outlast-start.ts';

export type PodChange = 'stop' | 'start' | 'restart';

/** An app and its state, as systemd knows it. */
export interface AppSummary {
  readonly pod: string;
  readonly app: string;
  readonly activeState: string;
  readonly subState: string;
  readonly pid: number | null;
  readonly unit: string;
  /** Null for an app that is not scheduled. */
  readonly runs: AppRuns | null;
}

/** The apps of this device. */
export async function listApps(): Promise<readonly AppSummary[]> {
  return (await appUnits()).map(appSummary);
}

export function appSummary({ pod, app, activeState, subState, mainPid, unit, runs }: AppUnit): AppSummary {
  return { pod, app, activeState, subState, pid: mainPid === 0 ? null : mainPid, unit, runs: runs ?? null };
}

/**
 * Has systemd stop, start or restart all apps of a pod, with its network and namespaces. For a
 * scheduled pod, that is one run; its timer keeps running.
 *
 * A running wherryd does not undo it, but at its next start it starts the committed pods. A stop
 * during such a start holds.
 *
 * @returns whether the pod is scheduled
 * @param withinMs how long to wait for systemd; without it, there is no limit
 * @throws Refusal `not-found` for a pod that does not exist, `activation-failed` when a unit does
 *   not start, `not-confirmed` when it is not done in time or another actor changes the pod
 *   meanwhile, `device-unsupported` when this machine or user cannot do it
 */
export async function changePod(change: PodChange, pod: string, withinMs?: number): Promise<boolean> {
  const apps = await appUnits();
  const isScheduled = unitsOfPod(apps, pod).some(({ runs }) => runs !== undefined);
  // During a run, systemd does not start its ended apps again.
  if (change === 'restart' && isScheduled) {
    const begunMs = systemClock.monotonicMs();
    await changePod('stop', pod, withinMs);
    const leftMs = withinMs && Math.max(1, withinMs - (systemClock.monotonicMs() - begunMs));
    return await changePod('start', pod, leftMs);
  }
  const words = [
    ...podCommand(apps, change, pod),
    ...(change === 'start' ? [] : await unitsBeside(apps, pod)),
  ];
  if (process.getuid?.() !== 0)
    throw new Refusal('device-unsupported', `only root can ${change} a pod; try sudo`);
  // systemd would count this start as a retry, and gives up on the namespaces of a pod after a few.
  if (change !== 'stop') {
    const holders = holdersOf(unitsOfPod(apps, pod).map(({ unit }) => unit));
    // It fails for a pod without shared namespaces.
    await promisify(execFile)('systemctl', ['reset-failed', '--', ...holders]).catch(() => undefined);
  }
  try {
    await outlastStart(words, { systemctl, clock: systemClock }, withinMs);
  } catch (cause) {
    const { stderr = '', killed } = cause as { readonly stderr?: string; readonly killed?: boolean };
    if (killed === true) {
      throw new Refusal(
        'not-confirmed',
        `systemd has not completed the ${change} of the pod ${pod} after ${(withinMs ?? 0) / 1000} s and continues; check the state of its apps`,
        { cause },
      );
    }
    if (isReplaced(cause)) {
      throw new Refusal(
        'not-confirmed',
        `the ${change} of the pod ${pod} was given up: another actor, such as a deployment or another command, starts or stops it now; try again`,
        { cause },
      );
    }
    throw new Refusal(
      change === 'stop' ? 'device-unsupported' : 'activation-failed',
      `systemd did not ${change} the pod ${pod}: ${stderr.trim().replaceAll(/\s+/g, ' ')}`,
      { cause },
    );
  }
  return isScheduled;
}

async function systemctl(words: readonly string[], withinMs = 0): Promise<string> {
  return (await promisify(execFile)('systemctl', words, { timeout: withinMs })).stdout;
}

/** The arguments of systemctl. @throws Refusal `not-found` */
export function podCommand(units: readonly AppUnit[], change: PodChange, pod: string): readonly string[] {
  return [change, '--', ...unitsOfPod(units, pod).map(({ unit }) => unit)];
}

/**
 * Units that the apps of a pod need while they run. systemd stops them when nothing needs them, but
 * it does not check this again after a stop of an app that has already ended, nor in a restart.
 */
async function unitsBeside(apps: readonly AppUnit[], pod: string): Promise<readonly string[]> {
  const parts = unitsOfPod(apps, pod).map(({ unit }) => podPart(unit));
  const names = await readdir(places.units);
  return names.filter(
    (name) => /^wherry-(holder|network|metadata|run)-/.test(name) && parts.includes(podPart(name)),
  );
}

/**
 * Names of the units that hold the namespaces of these apps; a pod with one app has no such unit.
 */
export function holdersOf(units: readonly string[]): readonly string[] {
  return [...new Set(units.map((unit) => `wherry-holder-${podPart(unit) ?? ''}.service`))];
}
