import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pullFiles } from '../../src/device/jobs/pull/pull-job-codec.ts';
import type { PullJob, PullResult } from '../../src/device/jobs/pull/pull-job.ts';
import { fakeBuilder } from './test-image.ts';

export const pullJobId = 'a'.repeat(32);

export interface PullEnd {
  readonly status: number | null;
  /** What it wrote for the journal. */
  readonly said: string;
}

/** Writes what wherryd writes for its pull unit. @returns the directory of the job */
export function preparePull(root: string, job: PullJob): string {
  const directory = join(root, 'partial', pullJobId);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'job.cbor'), pullFiles.encodeJob(job));
  return directory;
}

/**
 * Runs the program of the pull unit in a process of its own, to its end.
 * @param options.started called at once, with what stops the process as systemd does
 */
export async function runPullProgram(
  root: string,
  options: {
    readonly job?: string;
    readonly environment?: NodeJS.ProcessEnv;
    readonly started?: (stop: () => void) => void;
  } = {},
): Promise<PullEnd> {
  const { job = pullJobId, environment = {}, started } = options;
  const program = join(import.meta.dirname, '../../src/device/jobs/unit/unit-programs.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', program, 'pull', job], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      ...process.env,
      WHERRY_PARTIAL: join(root, 'partial'),
      WHERRY_RUN: join(root, 'run'),
      WHERRY_MKFS_EROFS: fakeBuilder(join(root, 'tools')),
      ...environment,
    },
  });
  started?.(() => child.kill('SIGTERM'));
  let said = '';
  child.stderr.on('data', (text: Buffer) => (said += text.toString()));
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { status, said };
}

export function pullResult(directory: string): PullResult {
  return pullFiles.decodeResult(readFileSync(join(directory, 'result.cbor')));
}
