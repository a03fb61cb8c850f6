import { isRefusal } from '../../core/refusal/index.ts';
import { places } from '../host/index.ts';
import { nodeDisk, writeDurable } from '../store/index.ts';
import type { JobFiles, RefusedResult } from './job-files.ts';

/**
 * The program's side of a job: reads the job, calls `work`, and writes the result, a refusal
 * included. It also logs a refusal. Any other error of `work` ends the program without a result.
 */
export async function answerJob<Job, Done extends { readonly ok: true }>(
  files: JobFiles<Job, Done>,
  directory: string,
  work: (job: Job) => Promise<Done | RefusedResult>,
): Promise<void> {
  const disk = nodeDisk();
  const path = `${directory}/${files.names.job}`;
  const file = await disk.read(path, files.maxBytes);
  if (file === undefined) throw new Error(`there is no ${path}`);
  const result = await work(files.decodeJob(file)).catch((error: unknown) => {
    if (!isRefusal(error)) throw error;
    return { ok: false, code: error.code, message: error.message } as const;
  });
  await writeDurable(disk, `${directory}/${files.names.result}`, files.encodeResult(result));
  if (!result.ok) process.stderr.write(`<4>${result.message} (${result.code})\n`);
}

/**
 * The name of the job that makes an object: the same for every try, so that a download is resumed.
 */
export function jobName(objectId: string): string {
  const digits = objectId.indexOf('-') + 1;
  return objectId.slice(digits, digits + 32);
}

/**
 * The directory of a job, for its program. WHERRY_PARTIAL overrides the directory of all jobs.
 *
 * @throws Error when it is not the name of a job
 */
export function jobDirectory(name: string): string {
  if (!/^[0-9a-f]{32}$/.test(name)) throw new Error(`${JSON.stringify(name)} is not the name of a job`);
  return `${process.env['WHERRY_PARTIAL'] ?? places.partial}/${name}`;
}
