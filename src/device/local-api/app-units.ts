import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import { places } from '../host/index.ts';
import { lastRecord } from './device-status.ts';

/** The runs of an app of a scheduled pod, as systemd knows them: those of this boot. */
export interface AppRuns {
  /** RFC 3339; null during a run, and when no other is scheduled. */
  readonly next: string | null;
  /** When the last run ended; null before that. */
  readonly lastEnd: string | null;
  /** Why it ended, in systemd's word, such as `success` and `exit-code`. */
  readonly lastResult: string | null;
  /** Also null for a run that a signal ended. */
  readonly exitStatus: number | null;
}

/** An app as systemd knows it. */
export interface AppUnit {
  readonly unit: string;
  readonly pod: string;
  readonly uuid: string;
  readonly app: string;
  /** systemd's ActiveState and SubState, such as `active` and `running`. */
  readonly activeState: string;
  readonly subState: string;
  readonly mainPid: number;
  /** Below the mount point of the cgroup file system; empty for an app that does not run. */
  readonly controlGroup: string;
  /** Absent for an app that is not scheduled. */
  readonly runs?: AppRuns;
}

/** A running app, with the paths of its container (device/pod/places.ts). */
export interface RunningApp extends AppUnit {
  readonly containerId: string;
  /** Directory of crun's state. systemd removes it when the app ends. */
  readonly runtime: string;
  /** Directory of its bundle. */
  readonly bundle: string;
}

/**
 * The apps of this device, without those that only wait for their activation. It queries systemd
 * and not wherryd or its state: an app needs neither of them to run.
 *
 * @throws Refusal `device-unsupported` where there is no systemd
 */
export async function appUnits(): Promise<readonly AppUnit[]> {
  // A pattern would match only loaded units, and the unit of a stopped app may not be loaded.
  const names = (await readdir(places.units).catch(() => [])).filter((name) =>
    /^wherry-(pod-.*\.service|timer-.*\.timer)$/.test(name),
  );
  if (names.length === 0) return [];
  const activated = await activatedUnits();
  const properties =
    'Id,ActiveState,SubState,MainPID,ControlGroup,LogExtraFields,Result,ExecMainCode,ExecMainStatus,ExecMainExitTimestamp,NextElapseUSecRealtime';
  try {
    const args = ['show', `--property=${properties}`, '--', ...names];
    const { stdout } = await promisify(execFile)('systemctl', args, {
      maxBuffer: 2 ** 24,
      env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' },
    });
    return activatedApps(parseAppUnits(stdout), activated);
  } catch (cause) {
    throw new Refusal('device-unsupported', 'systemd does not answer here; run this on a device', { cause });
  }
}

/**
 * Of `units`, those of a version that was activated, and those that run. A version that waits for
 * its activation has its units beside those of the current one. Started with them, it would bypass
 * what it waits for, and write to the same volumes.
 *
 * @param activated names of units and of timers
 */
export function activatedApps(units: readonly AppUnit[], activated: readonly string[]): readonly AppUnit[] {
  const timers = new Set(activated.filter((name) => name.endsWith('.timer')).map(podPart));
  return units.filter(
    ({ unit, activeState, runs }) =>
      !['inactive', 'failed'].includes(activeState) ||
      activated.includes(unit) ||
      (runs !== undefined && timers.has(podPart(unit))),
  );
}

/**
 * The units of the pods that wherryd activated last. Before its first report in this boot, they are
 * those that started at boot.
 */
async function activatedUnits(): Promise<readonly string[]> {
  const record = await lastRecord().catch((error: unknown): undefined => {
    // A user who may list pods, and not read the record.
    if (!isRefusal(error, 'device-unsupported')) throw error;
  });
  if (record?.units !== undefined) return record.units;
  const target = await readFile(join(places.units, 'wherry-pods.target'), 'utf8').catch(() => '');
  return target.match(/wherry-\S+/g) ?? [];
}

/** Parses what `systemctl show` prints of apps and timers: a block of lines for each unit. */
export function parseAppUnits(text: string): readonly AppUnit[] {
  const blocks = text
    .split('\n\n')
    .map((block) => (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(block)?.[1] ?? '');
  const timers = blocks.filter((value) => value('Id').endsWith('.timer'));
  return blocks.flatMap((value) => {
    const field = (key: string) => new RegExp(`(?:^| )${key}=(\\S+)`).exec(value('LogExtraFields'))?.[1];
    const [pod, uuid, app] = ['WHERRY_POD', 'WHERRY_POD_UUID', 'WHERRY_APP'].map(field);
    if (pod === undefined || uuid === undefined || app === undefined) return [];
    const ofPod = timers.filter((timer) => podPart(timer('Id')) === podPart(value('Id')));
    const timer = ofPod.find((one) => one('ActiveState') === 'active') ?? ofPod[0];
    return [
      {
        ...{ unit: value('Id'), pod, uuid, app },
        ...{ activeState: value('ActiveState'), subState: value('SubState') },
        ...{ mainPid: Number(value('MainPID')), controlGroup: value('ControlGroup') },
        ...(timer === undefined ? {} : { runs: runsOf(value, timer) }),
      },
    ];
  });
}

/** The common part of the names of all units of a pod; a dash in it is `\x2d`. */
export function podPart(unit: string): string | undefined {
  return /^wherry-[a-z]+-([^-.]+\.[0-9a-f]{8})/.exec(unit)?.[1];
}

type Properties = (key: string) => string;

function runsOf(app: Properties, timer: Properties): AppRuns {
  const lastEnd = toRfc3339(app('ExecMainExitTimestamp'));
  return {
    next: toRfc3339(timer('NextElapseUSecRealtime')),
    lastEnd,
    // A run under way has no result yet.
    lastResult: lastEnd === null ? null : app('Result'),
    // 1: it exited (waitid(2), CLD_EXITED).
    exitStatus: lastEnd !== null && app('ExecMainCode') === '1' ? Number(app('ExecMainStatus')) : null,
  };
}

/** `Sun 2026-11-29 15:00:00 UTC`, as systemctl prints it in that zone. */
function toRfc3339(text: string): string | null {
  const [, date, time] = /(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)/.exec(text) ?? [];
  return date === undefined || time === undefined ? null : `${date}T${time}Z`;
}

/**
 * The app `app` of the pod `pod`. While one version replaces another, there may be two pods of this
 * name, of which one runs.
 *
 * @param places the directories of pods, and of what exists until a reboot
 * @throws Refusal `not-found`, with the apps that there are
 */
export function findRunningApp(
  units: readonly AppUnit[],
  pod: string,
  app: string,
  places: { readonly pods: string; readonly run: string },
): RunningApp {
  const ofPod = unitsOfPod(units, pod);
  const named = ofPod.filter((unit) => unit.app === app);
  const [known] = named;
  if (known === undefined) {
    const there = list(ofPod.map((unit) => unit.app));
    throw new Refusal('not-found', `the pod ${pod} has no app ${JSON.stringify(app)}; apps: ${there}`);
  }
  const running = named.find(isRunning);
  if (running === undefined) {
    const there = list(units.filter(isRunning).map((unit) => `${unit.pod} ${unit.app}`));
    throw new Refusal(
      'not-found',
      `the app ${app} of the pod ${pod} does not run: its unit is ${known.activeState} (${known.subState}), see "systemctl status '${known.unit}'"; apps that run: ${there}`,
    );
  }
  const containerId = `${running.uuid}-${app}`;
  return {
    ...running,
    containerId,
    runtime: `${places.run}/apps/${containerId}`,
    bundle: `${places.pods}/${running.uuid}/apps/${app}`,
  };
}

/** The apps of the pod `pod`. @throws Refusal `not-found`, with the pods that there are */
export function unitsOfPod(units: readonly AppUnit[], pod: string): readonly AppUnit[] {
  const found = units.filter((unit) => unit.pod === pod);
  if (found.length > 0) return found;
  const there = list(units.map((unit) => unit.pod));
  throw new Refusal('not-found', `there is no pod ${JSON.stringify(pod)} here; pods: ${there}`);
}

function isRunning({ activeState, mainPid, controlGroup }: AppUnit): boolean {
  return activeState === 'active' && mainPid > 0 && controlGroup !== '';
}

function list(names: readonly string[]): string {
  return [...new Set(names)].sort().join(', ') || 'none';
}
