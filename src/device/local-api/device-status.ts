import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { DeviceReport } from '../../wire/report/index.ts';
import { type LockFile, places, readLocks } from '../host/index.ts';

export interface DeviceStatus {
  /** systemd's ActiveState of wherryd. */
  readonly supervisor: string;
  /** What wherryd reported last, in this boot; null when it has not reported yet. */
  readonly report: DeviceReport | null;
  readonly locks: readonly LockFile[];
}

/** How this device is, also while wherryd does not run: the report then is its last one. */
export async function deviceStatus(): Promise<DeviceStatus> {
  const state = ['show', '--property=ActiveState', '--value', 'wherryd.service'];
  const { stdout } = await promisify(execFile)('systemctl', state);
  return { supervisor: stdout.trim(), report: (await lastReport()) ?? null, locks: readLocks(places) };
}

/** wherryd replaces the file at each report (device/agent/local-report.ts). */
export async function lastReport(): Promise<DeviceReport | undefined> {
  try {
    return JSON.parse(await readFile(places.report, 'utf8')) as DeviceReport;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
