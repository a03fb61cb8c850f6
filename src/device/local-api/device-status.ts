import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { DeviceReport } from '../../wire/report/index.ts';
import { type LockFile, places, type Places, readLocks } from '../host/index.ts';
import type { NetworkFacts } from '../network/index.ts';
import { Refusal } from '../../core/refusal/index.ts';

/** The record that wherryd writes to memory at each report (device/agent/local-record.ts). */
export interface SupervisorRecord {
  readonly report: DeviceReport;
  /**
   * Units of the apps of the pods that it activated last; absent in a record of an older wherryd.
   */
  readonly units?: readonly string[];
  /** The settings of networks in its configuration. */
  readonly network: Pick<NetworkFacts, 'allowHost' | 'whenUnsaid' | 'subnet' | 'subnet6'>;
  /** The settings of this API in its configuration; absent in a record of an older wherryd. */
  readonly api?: { readonly exec: boolean };
}

export interface DeviceStatus {
  /** systemd's ActiveState of wherryd. */
  readonly supervisor: string;
  /** The last report of wherryd in this boot; null when it has not reported yet. */
  readonly report: DeviceReport | null;
  readonly locks: readonly LockFile[];
}

/**
 * The status of this device. It works while wherryd does not run: the report is then its last one.
 * @throws Refusal `device-unsupported` where there is no systemd
 */
export async function deviceStatus(): Promise<DeviceStatus> {
  const words = ['show', '--property=ActiveState', '--value', 'wherryd.service'];
  const { stdout } = await promisify(execFile)('systemctl', words).catch((cause: unknown) => {
    throw new Refusal('device-unsupported', 'systemd does not answer here; run this on a device', { cause });
  });
  const record = await lastRecord();
  return { supervisor: stdout.trim(), report: record?.report ?? null, locks: readLocks(places) };
}

/**
 * The last record; undefined when wherryd has not reported in this boot, and for a damaged one,
 * which the next report replaces.
 * @throws Refusal `device-unsupported` without the rights to read it
 */
export async function lastRecord({ record }: Pick<Places, 'record'> = places): Promise<
  SupervisorRecord | undefined
> {
  try {
    const found = JSON.parse(await readFile(record, 'utf8')) as Partial<SupervisorRecord> | null;
    return found?.report === undefined ? undefined : (found as SupervisorRecord);
  } catch (cause) {
    if (cause instanceof SyntaxError) return undefined;
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    if (code !== 'EACCES') throw cause;
    throw new Refusal('device-unsupported', `${record} can only be read by root; try sudo`, { cause });
  }
}
