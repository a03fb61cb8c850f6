import { join } from 'node:path';
import { Refusal } from '../../core/refusal/index.ts';
import type { Disk, Owner } from '../store/index.ts';
import type { Systemd } from '../systemd/index.ts';
import type { JobFiles, RefusedResult } from './job-files.ts';

export interface UnitJob<Job> {
  /** A service of Type=oneshot, for example `wherry-pull@<job>.service`. */
  readonly unit: string;
  /** The directory of the job, its result and all output of the unit. The unit's user owns it. */
  readonly directory: string;
  readonly job: Job;
  /** Names the job in refusals: `pull of example.com/app`. */
  readonly what: string;
  /** The unit resumes what an earlier run left in the directory. */
  readonly resumes?: true;
  /** A sealed file that systemd decrypts for the unit, which cannot read it. */
  readonly sealed?: {
    readonly name: string;
    readonly bytes: Uint8Array;
    /** Thrown when systemd cannot decrypt it. */
    readonly refusal: Refusal;
  };
}

export interface JobPorts {
  readonly systemd: Systemd;
  readonly disk: Disk;
  /** The unprivileged user of the unit. */
  readonly owner: Owner;
}

/**
 * Runs a job in a unit without privileges, and returns its result. When this returns or throws, no
 * process of the unit runs. The directory stays: the caller takes the output, and removes the rest.
 *
 * The unit is not trusted. The caller must check what it uses of the result.
 *
 * @param signal ends the unit; its reason is thrown
 * @throws Refusal `internal` when the unit left no result, or one that cannot be read
 */
export async function runJob<Job, Done extends { readonly ok: true }>(
  files: JobFiles<Job, Done>,
  { unit, directory, job, what, resumes, sealed }: UnitJob<Job>,
  { systemd, disk, owner }: JobPorts,
  signal: AbortSignal,
): Promise<Done | RefusedResult> {
  const jobPath = join(directory, files.names.job);
  const resultPath = join(directory, files.names.result);
  // A unit that a killed wherryd left running has read an older job, with older keys. An error is
  // ignored: if the unit does not exist, its start fails below.
  await systemd.stop(unit).catch(() => undefined);
  await disk.remove(resumes === true ? resultPath : directory);
  await disk.makeDirectory(directory, owner);
  await disk.write(jobPath, files.encodeJob(job));
  await disk.own(jobPath, owner, 0o400);
  if (sealed !== undefined) await disk.write(join(directory, sealed.name), sealed.bytes);
  let end: string;
  try {
    await systemd.resetFailed(unit);
    end = await systemd.run(unit, signal);
  } finally {
    // For systemd, a oneshot service ends with its main process; other processes may still have
    // files open.
    await systemd.stop(unit);
  }
  signal.throwIfAborted();
  const file = await disk.read(resultPath, files.maxBytes).catch(() => undefined);
  if (file === undefined && end === 'credentials' && sealed !== undefined) throw sealed.refusal;
  if (file === undefined) throw new Refusal('internal', `the ${what} ended without a result (${end})`);
  return files.decodeResult(file);
}
