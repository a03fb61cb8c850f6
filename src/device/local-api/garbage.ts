import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { promisify } from 'node:util';
import { Refusal } from '../../core/refusal/index.ts';
import type { Clock } from '../../core/ports/index.ts';
import { openDeviceStore } from './device-store.ts';

const unit = 'wherryd.service';

/** How long to wait for a wherryd that is starting. */
const patienceMs = 60_000;

/**
 * Requests a collection from wherryd, as by `gc.schedule`. wherryd alone knows which objects are
 * needed.
 *
 * @returns the process ID of wherryd
 * @throws Refusal `device-unsupported`
 */
export async function askToCollect(clock: Clock, signal: AbortSignal): Promise<number> {
  const pid = await readyPid(clock, signal);
  if (!catches(await readFile(`/proc/${pid}/status`, 'utf8'), constants.signals.SIGUSR2)) {
    throw new Refusal(
      'device-unsupported',
      'this wherryd collects only by its gc.schedule; see wherry.toml(5)',
    );
  }
  try {
    process.kill(pid, 'SIGUSR2');
  } catch (cause) {
    throw new Refusal('device-unsupported', 'only root can start a garbage collection; try sudo', { cause });
  }
  return pid;
}

export interface GarbageList {
  readonly garbage: readonly { readonly path: string; readonly allocatedBytes: number }[];
  readonly totalBytes: number;
}

/**
 * What a collection would delete now, according to the saved state and without wherryd. During a
 * deployment wherryd collects nothing until that has ended.
 *
 * @param path the directory of the store
 * @throws Refusal as {@link openDeviceStore}
 */
export async function listGarbage(path: string): Promise<GarbageList> {
  const { rootsOf } = await import('../deploy/index.ts');
  const { findGarbage } = await import('../store/index.ts');
  const { disk, directories, readState } = await openDeviceStore(path);
  const found = await findGarbage(disk, directories, rootsOf(await readState(), []));
  return {
    garbage: found.map(({ path, allocatedBytes }) => ({ path, allocatedBytes })),
    totalBytes: found.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0),
  };
}

/**
 * The process ID of wherryd, which handles the signal once it has notified systemd that it is
 * ready.
 */
async function readyPid(clock: Clock, signal: AbortSignal): Promise<number> {
  const untilMs = clock.monotonicMs() + patienceMs;
  for (;;) {
    const { pid, isStarting } = await askSystemd();
    if (!isStarting || clock.monotonicMs() > untilMs) return pid;
    await clock.sleep(500, signal);
  }
}

async function askSystemd(): Promise<{ readonly pid: number; readonly isStarting: boolean }> {
  const advice = 'run "wherry gc" on a device; the broker carries no such command';
  let text: string;
  try {
    const properties = ['show', '--property=MainPID,ActiveState,LoadState', unit];
    ({ stdout: text } = await promisify(execFile)('systemctl', properties));
  } catch (cause) {
    throw new Refusal('device-unsupported', `systemd does not answer here; ${advice}`, { cause });
  }
  const pid = Number(/^MainPID=(\d+)$/m.exec(text)?.[1]);
  if (!(pid > 0)) {
    // Between two visits to the broker it does not run, either.
    const isHere = /^LoadState=loaded$/m.test(text);
    const what = isHere ? `run "systemctl start ${unit}" first` : advice;
    throw new Refusal('device-unsupported', `${unit} does not run here; ${what}`);
  }
  return { pid, isStarting: /^ActiveState=activating$/m.test(text) };
}

/** Whether a process catches `signal`, by its /proc/PID/status. Uncaught, SIGUSR2 would end it. */
export function catches(status: string, signal: number): boolean {
  const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
  return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
}
