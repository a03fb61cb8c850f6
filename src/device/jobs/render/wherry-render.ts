import { defaultArchiveLimits } from '../../../image/tar/index.ts';
import { renderMounted } from '../../../image/tree/index.ts';
import { answerJob, jobDirectory, startObjectBuilder } from '../index.ts';
import { isRefusal } from '../../../core/refusal/index.ts';
import { nodeDisk } from '../../store/index.ts';
import { places } from '../../host/index.ts';
import { renderFiles, type RenderJob } from './render-job.ts';

/**
 * The rendering unit: `unit-programs.cjs render JOB`. Reads `<partial>/JOB/job.cbor` and the
 * objects of its images, which are mounted below `<run>/images`, and writes `object.erofs` and
 * `result.cbor` beside the job. Exits with 0 when there is a result, a refusal included, and with 1
 * when there is none.
 *
 * WHERRY_PARTIAL, WHERRY_RUN and WHERRY_MKFS_EROFS override the usual paths.
 */
export async function renderUnit(name: string): Promise<void> {
  const directory = jobDirectory(name);
  await answerJob(renderFiles, directory, async (job) => {
    const disk = nodeDisk();
    const objectPath = `${directory}/object.erofs`;
    await build(job, objectPath);
    await disk.syncFile(objectPath);
    const objectSizeBytes = (await disk.look(objectPath))?.sizeBytes ?? 0;
    return { ok: true, objectSizeBytes, objectSha256: await disk.sha256(objectPath) };
  });
}

async function build(job: RenderJob, path: string): Promise<void> {
  const { limits, compression } = job;
  const images = `${process.env['WHERRY_RUN'] ?? places.run}/images`;
  const implying = new Set(job.impliesDirectories);
  const mounted = (id: RenderJob['impliesDirectories'][number]) => ({
    id,
    directory: `${images}/${id}`,
    impliesDirectories: implying.has(id),
  });
  const steps = job.steps.map(({ image, above }) => ({ image: mounted(image), above: above.map(mounted) }));
  const command = process.env['WHERRY_MKFS_EROFS'] ?? 'mkfs.erofs';
  const builder = startObjectBuilder({ command, path, compression });
  try {
    await renderMounted({ steps, limits: { ...defaultArchiveLimits, ...limits } }, builder.tar);
    await builder.finished();
  } catch (error) {
    // The builder's own refusal has the reason why it stopped reading.
    if (isRefusal(error, 'image-build-failed')) await builder.finished();
    throw error;
  } finally {
    await builder.kill();
  }
}
