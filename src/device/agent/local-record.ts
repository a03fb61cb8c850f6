import { rename, writeFile } from 'node:fs/promises';
import type { DeviceReport } from '../../wire/report/index.ts';
import type { Config } from './config.ts';
import { inTurn } from './in-turn.ts';

/** The record that the local API reads (device/local-api/device-status.ts). */
export interface LocalRecord {
  readonly report: DeviceReport;
  /** Units of the apps of the pods that were activated last. */
  readonly units: readonly string[];
  readonly network: Config['network'];
  readonly api: Pick<Config['api'], 'exec'>;
}

/**
 * Writes records to `path` in `/run`, each whole and in the order given. Where a write takes longer
 * than the time between two reports, the next one waits for it.
 */
export function recordKeeper(path: string): (record: LocalRecord) => Promise<void> {
  const turn = inTurn();
  return (record) =>
    turn(async () => {
      await writeFile(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
      await rename(`${path}.new`, path);
    });
}
