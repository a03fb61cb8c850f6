import { randomBytes } from 'node:crypto';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import {
  decodePullJob,
  encodePullProgress,
  encodePullResult,
  maxPullFileBytes,
  type PullProgress,
} from '../fetch/index.ts';
import { openHttpClient, pull } from '../fetch/pull-unit.ts';
import type { Random } from '../ports/index.ts';
import { futureDigest, nodeDisk, writeDurable } from '../store/index.ts';
import { systemClock } from './clock.ts';
import { places } from './places.ts';

/**
 * The pull unit: `node wherry-pull.js JOB`. Reads `<partial>/JOB/job.cbor`, leaves `object.erofs` and `result.cbor` beside
 * it. Ends with 0 when there is a result, a refusal included; with 1 when it could not come to one.
 *
 * WHERRY_PARTIAL, WHERRY_RUN and WHERRY_MKFS_EROFS say where things are, when not in their usual places.
 */
async function main(): Promise<void> {
  const job = process.argv[2] ?? '';
  if (!/^[0-9a-z][0-9a-z-]{0,63}$/.test(job))
    throw new Error(`${JSON.stringify(job)} is not the name of a job`);
  const directory = `${process.env['WHERRY_PARTIAL'] ?? places.partial}/${job}`;
  const disk = nodeDisk();
  const file = await disk.read(`${directory}/job.cbor`, maxPullFileBytes);
  if (file === undefined) throw new Error(`there is no ${directory}/job.cbor`);

  const stop = new AbortController();
  process.once('SIGTERM', () => stop.abort());
  const http = openHttpClient({ clock: systemClock, signal: stop.signal });
  const result = await pull(decodePullJob(file), {
    clock: systemClock,
    random,
    http,
    directory,
    builder: process.env['WHERRY_MKFS_EROFS'] ?? 'mkfs.erofs',
    futureDigest,
    onProgress: progressFile(`${process.env['WHERRY_RUN'] ?? places.run}/pull/${job}`),
  }).finally(() => http.close());
  await writeDurable(disk, `${directory}/result.cbor`, encodePullResult(result));
  if (!result.ok) process.stderr.write(`<4>${result.message} (${result.code})\n`);
}

const random: Random = { fraction: () => Math.random(), bytes: (length) => randomBytes(length) };
const progressEveryMs = 500;

/** Keeps `progress.cbor` in `directory` (memory, not flash) current: at once, at the end, and twice a second between. */
function progressFile(directory: string): (progress: PullProgress) => void {
  mkdirSync(directory, { recursive: true });
  const path = `${directory}/progress.cbor`;
  let nextMs = 0;
  return (progress) => {
    const nowMs = systemClock.monotonicMs();
    if (nowMs < nextMs && progress.receivedBytes < progress.totalBytes) return;
    nextMs = nowMs + progressEveryMs;
    writeFileSync(`${path}.new`, encodePullProgress(progress));
    renameSync(`${path}.new`, path);
  };
}

main().catch((error: unknown) => {
  process.stderr.write(`<3>${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exitCode = 1;
});
