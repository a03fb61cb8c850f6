import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pullFiles } from '../../src/device/jobs/pull/pull-job-codec.ts';
import type { PullJob, PullResult } from '../../src/device/jobs/pull/pull-job.ts';
import { type ProgramEnd, runUnitProgram } from './unit-program.ts';

export const pullJobId = 'a'.repeat(32);

/** Writes the files that wherryd writes for its pull unit. @returns the directory of the job */
export function preparePull(root: string, job: PullJob): string {
  const directory = join(root, 'partial', pullJobId);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'job.cbor'), pullFiles.encodeJob(job));
  return directory;
}

/** Runs the program of the pull unit on the job that {@link preparePull} wrote. */
export function runPullProgram(
  root: string,
  options: Parameters<typeof runUnitProgram>[3] = {},
): Promise<ProgramEnd> {
  return runUnitProgram(root, 'pull', pullJobId, options);
}

export function pullResult(directory: string): PullResult {
  return pullFiles.decodeResult(readFileSync(join(directory, 'result.cbor')));
}
