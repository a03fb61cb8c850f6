import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cached, contentKey, fileParts } from '../../cross/index.ts';
import { loadBoardConfig, type NativeConfig } from '../board-config.ts';
import { nativeGuestFiles } from '../guest-files.ts';
import type { Progress } from '../image.ts';
import { checkDiskSpace } from '../preconditions.ts';
import { makeRootTree } from '../root-tree.ts';

/**
 * The base of native boards: read-only layers of the root, and a `/var` that is copied for each.
 */
export type NativeTree = {
  readonly key: string;
  /** The topmost first. */
  readonly lower: readonly string[];
  readonly var: string;
};

const sources = ['tree.ts', '../root-tree.ts', '../guest-files.ts'];

/** Returns the tree of a native board, made now or before from Debian's packages. */
export async function baseTree(config: NativeConfig, progress: Progress): Promise<NativeTree> {
  const { packages } = loadBoardConfig(config.name);
  const key = contentKey([
    JSON.stringify([config.name, config.arch, config.suite]),
    packages.join(' '),
    ...fileParts(sources.map((file) => join(import.meta.dirname, file))),
  ]);
  const dir = await cached(`tree-${config.name}`, key, (buildDir) => {
    checkDiskSpace(buildDir);
    progress(`making the tree of ${config.name} from Debian packages (once, about a minute)`);
    const machineId = createHash('md5').update(config.name).digest('hex');
    const root = join(buildDir, 'root');
    makeRootTree(config, packages, nativeGuestFiles(config, machineId), root);
    renameSync(join(root, 'var'), join(buildDir, 'var'));
    mkdirSync(join(root, 'var'));
    return Promise.resolve();
  });
  return { key, lower: [join(dir, 'root')], var: join(dir, 'var') };
}

/**
 * Returns a tree with packages installed, made now or before.
 * @param install starts a board on the base, runs the script on it with the packages in
 *   `/run/install`, shuts it down in order, and moves what it wrote into the directory
 */
export async function installedTree(
  config: NativeConfig,
  base: NativeTree,
  debs: readonly string[],
  progress: Progress,
  install: (files: ReadonlyMap<string, Uint8Array>, dir: string) => Promise<void>,
): Promise<NativeTree> {
  const contents = new Map<string, Uint8Array>(debs.map((path) => [basename(path), readFileSync(path)]));
  const key = contentKey([base.key, ...contents.values(), readFileSync(import.meta.filename)]);
  const dir = await cached(`installed-${config.name}`, key, async (buildDir) => {
    progress(`installing ${[...contents.keys()].join(', ')} on ${config.name}`);
    await install(contents, buildDir);
  });
  return { key, lower: [join(dir, 'upper'), ...base.lower], var: join(dir, 'var') };
}

/** Copies a directory with all attributes of its files. */
export function copyTree(from: string, to: string): void {
  execFileSync('cp', ['-a', '--reflink=auto', from, to], { stdio: ['ignore', 'ignore', 'inherit'] });
}
