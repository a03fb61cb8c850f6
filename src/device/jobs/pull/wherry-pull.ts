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
 * The pull unit: `unit-programs.cjs pull JOB`. Reads `<partial>/JOB/job.cbor`, and writes
 * `object.erofs` and `result.cbor` beside it. Exits with 0 when there is a result, a refusal
 * included, and after a stop, and with 1 otherwise.
 *
 * WHERRY_PARTIAL, WHERRY_RUN and WHERRY_MKFS_EROFS override the usual paths. CREDENTIALS_DIRECTORY
 * is systemd's (systemd.exec(5), LoadCredential=). Without a proxy in the job, those of the
 * environment are used.
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
  }
}

async function runPull(
  job: PullJob,
  directory: string,
  onProgress: (progress: PullProgress) => void,
  signal: AbortSignal,
): Promise<PullResult> {
  // The library that implements NO_PROXY reads the environment of its process.
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
 * Reads the credentials that systemd has loaded for this unit, which cannot read the file itself.
 * Without a file, they are only a comment.
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
 * Writes `progress.cbor` in `directory` (memory, not flash): at the first progress, at the end, and
 * at most every two seconds between.
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
