import { rename, writeFile } from 'node:fs/promises';
import type { DeviceReport } from '../../wire/report/index.ts';
import type { Config } from './config.ts';

/** Writes the record that the local API reads (device/local-api/device-status.ts) to `/run`. */
export async function keepRecord(
  path: string,
  record: {
    readonly report: DeviceReport;
    readonly network: Config['network'];
    readonly api: Pick<Config['api'], 'exec'>;
  },
): Promise<void> {
  await writeFile(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
  await rename(`${path}.new`, path);
}
