import { join } from 'node:path';
import type { Rendering } from './rendering.ts';
import { Refusal } from '../../../core/refusal/index.ts';
import type { ImageStore, StoredTree } from '../../store/index.ts';
import { jobName, type JobPorts, runJob } from '../index.ts';
import { renderFiles, type RenderJob } from './render-job.ts';

export interface RenderPorts extends JobPorts {
  readonly store: ImageStore;
  /** Jobs: /var/lib/wherry/partial */
  readonly partial: string;
  readonly limits: RenderJob['limits'];
  readonly compression: RenderJob['compression'];
}

/**
 * Runs `wherry-render@<job>.service` for one tree, whose images are mounted, and commits its
 * object. The unit may read every file of the images and nothing else of the device. It is not
 * trusted: `ImageStore.commit` checks its result as far as it can.
 *
 * @throws {Refusal} with the code of the unit's refusal, or `internal` when it ended without a
 *   result
 */
export async function renderInUnit(
  rendering: Rendering,
  ports: RenderPorts,
  signal: AbortSignal,
): Promise<StoredTree> {
  const { limits, compression } = ports;
  const { id, name, steps, impliesDirectories, imageIds } = rendering;
  const directory = join(ports.partial, jobName(id));
  const job = { steps, impliesDirectories, limits, compression };
  const unit = `wherry-render@${jobName(id)}.service`;
  try {
    const unitJob = { unit, directory, job, what: `rendering of ${name}` };
    const result = await runJob(renderFiles, unitJob, ports, signal);
    if (!result.ok) throw new Refusal(result.code, `${name}: ${result.message}`);
    return await ports.store.commit(join(directory, 'object.erofs'), {
      ...{ id, name, imageIds },
      sizeBytes: result.objectSizeBytes,
      sha256: result.objectSha256,
    });
  } finally {
    await ports.disk.remove(directory);
  }
}
