import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundleUnits, unitBundle } from '../../cross/unit-bundle.ts';
import { fakeBuilder } from './test-image.ts';

export interface ProgramEnd {
  readonly status: number | null;
  /** Its output for the journal. */
  readonly said: string;
}

const project = join(import.meta.dirname, '../..');
/** As on a device. Node starts it six times as fast as its source. */
const programs = await bundleUnits({
  root: project,
  nodeModules: join(project, 'node_modules'),
  version: '0.0.0',
});

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
  const builder = fakeBuilder(join(root, 'tools'));
  const program = join(root, 'tools', unitBundle);
  writeFileSync(program, programs.bytes);
  const child = spawn(process.execPath, [program, name, job], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      ...process.env,
      WHERRY_PARTIAL: join(root, 'partial'),
      WHERRY_RUN: join(root, 'run'),
      WHERRY_MKFS_EROFS: builder,
      ...options.environment,
    },
  });
  options.started?.(() => child.kill('SIGTERM'));
  let said = '';
  child.stderr.on('data', (text: Buffer) => (said += text.toString()));
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { status, said };
}
