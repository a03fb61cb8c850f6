import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fakeBuilder } from './test-image.ts';

export interface ProgramEnd {
  readonly status: number | null;
  /** Its output for the journal. */
  readonly said: string;
}

/**
 * Runs a program of the units to its end in its own process, with directories below `root`.
 * @param name as on the command line of its unit: `pull`, `render`
 * @param options.started called at once, with a function that stops the process like systemd
 */
export async function runUnitProgram(
  root: string,
  name: string,
  job: string,
  options: {
    readonly environment?: NodeJS.ProcessEnv;
    readonly started?: (stop: () => void) => void;
  } = {},
): Promise<ProgramEnd> {
  const program = join(import.meta.dirname, '../../src/device/jobs/unit/unit-programs.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', program, name, job], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      ...process.env,
      WHERRY_PARTIAL: join(root, 'partial'),
      WHERRY_RUN: join(root, 'run'),
      WHERRY_MKFS_EROFS: fakeBuilder(join(root, 'tools')),
      ...options.environment,
    },
  });
  options.started?.(() => child.kill('SIGTERM'));
  let said = '';
  child.stderr.on('data', (text: Buffer) => (said += text.toString()));
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { status, said };
}
