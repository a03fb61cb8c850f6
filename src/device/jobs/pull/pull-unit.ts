import { join } from 'node:path';
import { decodePullProgress, maxProgressBytes, pullFiles } from './pull-job-codec.ts';
import type { PullJob, PullProgress } from './pull-job.ts';
import type { Clock } from '../../../core/ports/index.ts';
import { Refusal } from '../../../core/refusal/index.ts';
import type { Disk, ImageStore, StoredImage } from '../../store/index.ts';
import { jobName, type JobPorts, runJob } from '../index.ts';

export interface PullPorts extends JobPorts {
  readonly store: ImageStore;
  readonly clock: Clock;
  readonly places: PullPlaces;
}

export interface PullPlaces {
  /** Jobs with their downloads: /var/lib/wherry/partial */
  readonly partial: string;
  /** Progress, in memory: /run/wherry */
  readonly run: string;
}

/**
 * Progress is reported rarely, because each report costs a message to the fleet and work for this
 * process.
 */
const progressEveryMs = 5000;
/**
 * After these codes, which are not about the image, the download is kept for the next try. After
 * any other it is removed.
 */
const resumable: ReadonlySet<string> = new Set(['download-failed', 'download-too-slow', 'config-invalid']);

/**
 * Runs `wherry-pull@<job>.service` for one image and commits its object. The unit has no privileges
 * and is not trusted: `ImageStore.commit` checks its result as far as it can.
 *
 * @throws {Refusal} with the code of the unit's refusal, or `internal` when it ended without a
 *   result
 */
export async function pullImage(
  job: PullJob,
  ports: PullPorts,
  onProgress: (receivedBytes: number) => void,
  signal: AbortSignal,
): Promise<StoredImage> {
  const { disk, store, places, owner } = ports;
  const { id, name } = job.image;
  const directory = join(places.partial, jobName(id));
  const unit = `wherry-pull@${jobName(id)}.service`;
  const memory = join(places.run, 'pull', jobName(id));
  await disk.makeDirectory(memory, owner);
  const watching = new AbortController();
  const progress = watchProgress(join(memory, 'progress.cbor'), ports, onProgress, watching.signal);
  const result = await runJob(
    pullFiles,
    { unit, directory, job, what: `pull of ${name}`, resumes: true },
    ports,
    signal,
  ).finally(async () => {
    watching.abort();
    await progress;
    await disk.remove(memory);
  });
  const keepsDownload = !result.ok && resumable.has(result.code);
  try {
    if (!result.ok) throw new Refusal(result.code, result.message);
    if (result.imageId !== id) {
      throw new Refusal('image-id-mismatch', `the pull of ${name} made ${result.imageId}`);
    }
    const stored = {
      ...{ id, name, manifest: result.manifest },
      sizeBytes: result.objectSizeBytes,
      sha256: result.objectSha256,
      ...(result.impliesDirectories === undefined ? {} : { impliesDirectories: true as const }),
    };
    return await store.commit(join(directory, 'object.erofs'), stored, result.objectVerity);
  } finally {
    if (!keepsDownload) await disk.remove(directory);
  }
}

async function watchProgress(
  path: string,
  { disk, clock }: { readonly disk: Disk; readonly clock: Clock },
  onProgress: (receivedBytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const progress = await readProgress(disk, path).catch(() => undefined); // the unit may write anything there
    if (progress !== undefined) onProgress(progress.receivedBytes);
    await clock.sleep(progressEveryMs, signal).catch(() => undefined);
  }
}

async function readProgress(disk: Disk, path: string): Promise<PullProgress | undefined> {
  const bytes = await disk.read(path, maxProgressBytes);
  return bytes === undefined ? undefined : decodePullProgress(bytes);
}
