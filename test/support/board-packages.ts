import { resolve } from 'node:path';
import type { TestProject } from 'vitest/node';
import { buildPackages, type DebianArch } from '../../cross/index.ts';
import { loadBoardConfig } from '../../qemu/index.ts';
import { boards } from './boards.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The packages of this tree for the architectures of the boards. */
    packages: readonly { readonly arch: DebianArch; readonly file: string }[];
  }
}

/** Builds the packages once for all files of board tests. */
export async function setup({ provide }: TestProject): Promise<void> {
  const archs = [...new Set(boards.map((name) => loadBoardConfig(name).config.arch))];
  const { packages } = await buildPackages({ root: resolve(import.meta.dirname, '../..'), archs });
  provide(
    'packages',
    packages.map(({ arch, file }) => ({ arch, file })),
  );
}
