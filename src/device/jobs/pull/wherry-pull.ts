import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { encodePullProgress, pullFiles } from './pull-job-codec.ts';
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
import { futureDigest } from '../../store/index.ts';
import { places } from '../../host/index.ts';
import { answerJob, jobDirectory } from '../index.ts';

/**
 * The pull unit: `unit-programs.cjs pull JOB`. Reads `<partial>/JOB/job.cbor`, leaves
 * `object.erofs` and `result.cbor` beside it. Ends with 0 when there is a result, a refusal
 * included; with 1 when it could not come to one.
 *
 * WHERRY_PARTIAL, WHERRY_RUN and WHERRY_MKFS_EROFS say where things are, when not in their usual
 * places. CREDENTIALS_DIRECTORY is systemd's (systemd.exec(5), LoadCredential=). The proxies of the
 * environment count where the job names none.
 */
export async function pullUnit(name: string): Promise<void> {
  const directory = jobDirectory(name);
  const stop = new AbortController();
  process.once('SIGTERM', () => stop.abort());
  const onProgress = progressFile(`${process.env['WHERRY_RUN'] ?? places.run}/pull/${name}`);
  try {
    await answerJob(pullFiles, directory, (job) => runPull(job, directory, onProgress, stop.signal));
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    process.stderr.write('<5>stopped before the image was complete\n');
    process.exitCode = 1;
  }
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
  const credentials = await readCredentials();
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
 * What systemd has read for this unit, which may not: the file as it is, or nothing but a comment
 * where there is none.
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

/**
 * Keeps `progress.cbor` in `directory` (memory, not flash) current: at once, at the end, and every
 * two seconds between.
 */
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
