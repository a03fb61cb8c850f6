import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { decodePullJob, encodePullProgress, encodePullResult, maxPullFileBytes } from './pull-job-codec.ts';
import type { PullJob, PullProgress, PullResult } from './pull-job.ts';
import {
  cappedPieceBytes,
  Credentials,
  openHttpClient,
  proxiesOfEnvironment,
  proxyVariables,
} from '../../../wire/http/index.ts';
import { pull } from './pull.ts';
import { systemClock, systemRandom } from '../../../core/ports/index.ts';
import { isRefusal } from '../../../core/refusal/index.ts';
import { futureDigest, nodeDisk, writeDurable } from '../../store/index.ts';
import { places } from '../../host/index.ts';

/**
 * The pull unit: `unit-programs.cjs pull JOB`. Reads `<partial>/JOB/job.cbor`, leaves `object.erofs` and `result.cbor` beside
 * it. Ends with 0 when there is a result, a refusal included; with 1 when it could not come to one.
 *
 * WHERRY_PARTIAL, WHERRY_RUN and WHERRY_MKFS_EROFS say where things are, when not in their usual places. CREDENTIALS_DIRECTORY is
 * systemd's (systemd.exec(5), LoadCredential=). The proxies of the environment count where the job names none.
 */
export async function pullUnit(job: string): Promise<void> {
  if (!/^[0-9a-z][0-9a-z-]{0,63}$/.test(job))
    throw new Error(`${JSON.stringify(job)} is not the name of a job`);
  const directory = `${process.env['WHERRY_PARTIAL'] ?? places.partial}/${job}`;
  const disk = nodeDisk();
  const file = await disk.read(`${directory}/job.cbor`, maxPullFileBytes);
  if (file === undefined) throw new Error(`there is no ${directory}/job.cbor`);

  const stop = new AbortController();
  process.once('SIGTERM', () => stop.abort());
  const onProgress = progressFile(`${process.env['WHERRY_RUN'] ?? places.run}/pull/${job}`);
  let result: PullResult;
  try {
    result = await runPull(decodePullJob(file), directory, onProgress, stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    process.stderr.write('<5>stopped before the image was complete\n');
    process.exitCode = 1;
    return;
  }
  await writeDurable(disk, `${directory}/result.cbor`, encodePullResult(result));
  if (!result.ok) process.stderr.write(`<4>${result.message} (${result.code})\n`);
}

async function runPull(
  job: PullJob,
  directory: string,
  onProgress: (progress: PullProgress) => void,
  signal: AbortSignal,
): Promise<PullResult> {
  // The library that knows the rules of NO_PROXY reads the environment of its process.
  if (job.proxy !== undefined) Object.assign(process.env, proxyVariables(job.proxy));
  const proxyFor = await proxiesOfEnvironment();
  let credentials: Credentials;
  try {
    credentials = await readCredentials();
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return { ok: false, code: error.code, message: error.message };
  }
  const http = openHttpClient({
    clock: systemClock,
    signal,
    credentials,
    pieceBytes: cappedPieceBytes(job.limits.maxBytesPerSecond),
    ...(proxyFor === undefined ? {} : { proxyFor }),
  });
  const builder = process.env['WHERRY_MKFS_EROFS'] ?? 'mkfs.erofs';
  try {
    return await pull(job, {
      clock: systemClock,
      random: systemRandom,
      http,
      directory,
      builder,
      futureDigest,
      onProgress,
    });
  } finally {
    http.close();
  }
}

/**
 * What systemd has read for this unit, which may not: the file as it is, or nothing but a comment where there is none.
 * @throws Refusal `config-invalid`
 */
async function readCredentials(): Promise<Credentials> {
  const directory = process.env['CREDENTIALS_DIRECTORY'];
  const text = directory === undefined ? '' : readFileSync(`${directory}/credentials.toml`, 'utf8');
  if (/^(?:#.*|\s*)$/.test(text)) return new Credentials(places.credentials);
  const { parseCredentials } = await import('../../../wire/http/credentials-file.ts');
  return parseCredentials(text, places.credentials);
}

const progressEveryMs = 2000;

/** Keeps `progress.cbor` in `directory` (memory, not flash) current: at once, at the end, and every two seconds between. */
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
