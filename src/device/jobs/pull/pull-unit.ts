import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { decodePullProgress, decodePullResult, encodePullJob } from './pull-job-codec.ts';
import { jobName, type PullJob } from './pull-job.ts';
import type { Clock } from '../../../core/ports/index.ts';
import { Refusal } from '../../../core/refusal/index.ts';
import type { Disk, ImageStore, Owner, StoredImage } from '../../store/index.ts';
import type { Systemd } from '../../systemd/index.ts';
import { knownCode } from '../index.ts';

export interface PullPlaces {
  /** Jobs with their downloads: /var/lib/wherry/partial */
  readonly partial: string;
  /** Progress, in memory: /run/wherry */
  readonly run: string;
}

const maxResultBytes = 2 << 20;
const maxProgressBytes = 1024;
/** A report is a message to the fleet and work for this process; who watches a download can wait. */
const progressEveryMs = 5000;
/** After these, which say nothing of the image, the download is kept for the next try; else nothing must stay on the disk. */
const resumable: ReadonlySet<string> = new Set(['download-failed', 'download-too-slow', 'config-invalid']);

/**
 * Runs `wherry-pull@<job>.service` for one image and takes its object over. The unit has no privileges; what it says is
 * believed only as far as `ImageStore.commit` can check it.
 *
 * @throws {Refusal} with the code that the unit found, or `internal` when it ended without a verdict
 */
export async function pullImage(
  job: PullJob,
  ports: {
    readonly systemd: Systemd;
    readonly disk: Disk;
    readonly store: ImageStore;
    readonly clock: Clock;
    readonly places: PullPlaces;
    /** The unprivileged user of the unit. */
    readonly owner: Owner;
  },
  onProgress: (receivedBytes: number) => void,
  signal: AbortSignal,
): Promise<StoredImage> {
  const { systemd, disk, store, clock, places, owner } = ports;
  const name = jobName(job.image.id);
  const home = join(places.partial, name);
  const memory = join(places.run, 'pull', name);
  for (const directory of [home, memory]) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await chown(directory, owner.uid, owner.gid);
  }
  await disk.remove(join(home, 'result.cbor'));
  await disk.write(join(home, 'job.cbor'), encodePullJob(job));
  await disk.own(join(home, 'job.cbor'), owner, 0o400);

  const unit = `wherry-pull@${name}.service`;
  const watching = new AbortController();
  let ended: string;
  const progress = watchProgress(disk, join(memory, 'progress.cbor'), clock, onProgress, watching.signal);
  try {
    await systemd.resetFailed(unit);
    ended = await systemd.run(unit, signal);
  } finally {
    watching.abort();
    await progress;
    // Whatever happened, nothing of the unit may still hold a file open when its object is taken over.
    await systemd.stop(unit);
    await disk.remove(memory);
  }
  signal.throwIfAborted();

  const bytes = await disk.read(join(home, 'result.cbor'), maxResultBytes).catch(() => undefined);
  if (bytes === undefined)
    throw new Refusal('internal', `the pull of ${job.image.name} ended without a verdict (${ended})`);
  const result = decodePullResult(bytes);
  if (!result.ok) {
    if (!resumable.has(result.code)) await disk.remove(home);
    throw new Refusal(knownCode(result.code), result.message);
  }
  if (result.imageId !== job.image.id) {
    await disk.remove(home);
    throw new Refusal('image-id-mismatch', `the pull of ${job.image.name} made ${result.imageId}`);
  }
  try {
    const stored = {
      id: job.image.id,
      name: job.image.name,
      sizeBytes: result.objectSizeBytes,
      sha256: result.objectSha256,
      manifest: result.manifest,
      ...(result.impliesDirectories === undefined ? {} : { impliesDirectories: true as const }),
    };
    return await store.commit(join(home, 'object.erofs'), stored, result.objectVerity);
  } finally {
    await disk.remove(home);
  }
}

async function watchProgress(
  disk: Disk,
  path: string,
  clock: Clock,
  onProgress: (receivedBytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const bytes = await disk.read(path, maxProgressBytes).catch(() => undefined);
    if (bytes !== undefined) onProgress(decodePullProgress(bytes).receivedBytes);
    await clock.sleep(progressEveryMs, signal).catch(() => undefined);
  }
}
