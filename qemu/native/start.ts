import { resolve } from 'node:path';
import type { NativeConfig } from '../board-config.ts';
import type { BoardOptions } from '../start-board.ts';
import { NativeBoard } from './board.ts';
import { checkHost } from './host-kernel.ts';
import { baseTree, installedTree, type NativeTree } from './tree.ts';

/**
 * Starts a native board; see `startBoard`.
 * @throws PreconditionError when this machine cannot have one
 */
export async function startNative(config: NativeConfig, options: BoardOptions): Promise<NativeBoard> {
  checkHost();
  const progress = options.progress ?? (() => undefined);
  let tree = await baseTree(config, progress);
  const debs = (options.debs ?? []).map((path) => resolve(path));
  if (debs.length > 0) {
    tree = await installedTree(config, tree, debs, progress, async (files, dir) => {
      await install(config, tree, files, dir);
    });
  }
  options.signal?.throwIfAborted();
  return await booted(config, tree, async (board) => {
    for (const { guest, host } of options.forwards ?? []) await board.forward(guest, host);
  });
}

async function install(
  config: NativeConfig,
  tree: NativeTree,
  files: ReadonlyMap<string, Uint8Array>,
  dir: string,
): Promise<void> {
  const board = await booted(config, tree, async (fresh) => {
    for (const [name, bytes] of files) await fresh.copyIn(bytes, `/run/install/${name}`);
    await fresh.check('dpkg -i /run/install/*.deb', { timeoutMs: 280_000 });
    // The tree includes the results of services that the packages started.
    await fresh.waitFor('systemctl list-jobs --no-legend', ({ stdout }) => stdout.trim() === '');
    await fresh.shutDownInto(dir);
  });
  await board.stop();
}

/**
 * Boots a board and runs `use` with it. If that fails, it removes the board.
 */
async function booted(
  config: NativeConfig,
  tree: NativeTree,
  use: (board: NativeBoard) => Promise<void>,
): Promise<NativeBoard> {
  const board = new NativeBoard(config, tree);
  try {
    await board.launch(true);
    await board.settled();
    await use(board);
    return board;
  } catch (error) {
    await board.stop();
    throw error;
  }
}
