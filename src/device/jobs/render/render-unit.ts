import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Rendering } from './rendering.ts';
import { Refusal } from '../../../core/refusal/index.ts';
import type { Disk, ImageStore, Owner, StoredTree } from '../../store/index.ts';
import type { Systemd } from '../../systemd/index.ts';
import { knownCode } from '../index.ts';
import { decodeRenderResult, encodeRenderJob, maxRenderFileBytes, type RenderJob } from './render-job.ts';

export interface RenderPorts {
  readonly systemd: Systemd;
  readonly disk: Disk;
  readonly store: ImageStore;
  /** Jobs: /var/lib/wherry/partial */
  readonly partial: string;
  /** The unprivileged user of the unit. */
  readonly owner: Owner;
  readonly limits: RenderJob['limits'];
  readonly compression: RenderJob['compression'];
}

/** The name of the job that renders a tree. */
export function renderJobName(id: string): string {
  return id.slice('rendered-'.length, 'rendered-'.length + 32);
}

/**
 * Runs `wherry-render@<job>.service` for one tree, whose images are mounted, and takes its object over. The unit may read
 * every file of the images and nothing else of the device; what it says is believed only as far as `ImageStore.commit` can
 * check it.
 *
 * @throws {Refusal} with the code that the unit found, or `internal` when it ended without a verdict
 */
export async function renderInUnit(
  rendering: Rendering,
  ports: RenderPorts,
  signal: AbortSignal,
): Promise<StoredTree> {
  const { systemd, disk, store, partial, owner, limits, compression } = ports;
  const { id, name, steps, impliesDirectories, imageIds } = rendering;
  const job = renderJobName(id);
  const home = join(partial, job);
  const unit = `wherry-render@${job}.service`;
  await systemd.stop(unit).catch(() => undefined); // one that a killed wherryd left; else there is none
  await disk.remove(home);
  await mkdir(home, { recursive: true, mode: 0o700 });
  await chown(home, owner.uid, owner.gid);
  await disk.write(
    join(home, 'job.cbor'),
    encodeRenderJob({ steps, impliesDirectories, limits, compression }),
  );
  await disk.own(join(home, 'job.cbor'), owner, 0o400);
  let ended: string;
  try {
    try {
      await systemd.resetFailed(unit);
      ended = await systemd.run(unit, signal);
    } finally {
      // Whatever happened, nothing of the unit may still hold a file open when its object is taken over.
      await systemd.stop(unit);
    }
    signal.throwIfAborted();
    const bytes = await disk.read(join(home, 'result.cbor'), maxRenderFileBytes).catch(() => undefined);
    if (bytes === undefined)
      throw new Refusal('internal', `the rendering of ${name} ended without a verdict (${ended})`);
    const result = decodeRenderResult(bytes);
    if (!result.ok) throw new Refusal(knownCode(result.code), `${name}: ${result.message}`);
    return await store.commit(join(home, 'object.erofs'), {
      id,
      name,
      sizeBytes: result.objectSizeBytes,
      sha256: result.objectSha256,
      imageIds,
    });
  } finally {
    await disk.remove(home);
  }
}
