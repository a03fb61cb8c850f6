import { rename, writeFile } from 'node:fs/promises';
import type { DeviceReport } from '../../wire/report/index.ts';

/** Keeps the last report in memory, for the local API (device/local-api/device-status.ts). */
export async function keepReport(path: string, report: DeviceReport): Promise<void> {
  await writeFile(`${path}.new`, JSON.stringify(report), { mode: 0o600 });
  await rename(`${path}.new`, path);
}
