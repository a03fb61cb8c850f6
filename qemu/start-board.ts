import { resolve } from 'node:path';
import { EmulatedBoard } from './board.ts';
import { loadBoardConfig } from './board-config.ts';
import type { Board } from './board-types.ts';
import { boardImage, type Progress } from './image.ts';
import { startNative } from './native/start.ts';
import { checkPrograms } from './preconditions.ts';
import { bootedSnapshot, installedSnapshot } from './snapshot.ts';

export type BoardOptions = {
  /** A name from `board-configs/`. */
  readonly board: string;
  /** Packages to install; the cache keeps the result, by their content. */
  readonly debs?: readonly string[];
  /**
   * Uses a slower disk for an emulated board, which loses its unflushed writes in
   * {@link Board.powerCut}.
   */
  readonly powerLoss?: boolean;
  /** Ports of the board to reach on the host's 127.0.0.1; see {@link Board.forwards}. */
  readonly forwards?: readonly { readonly guest: number; readonly host?: number }[];
  /** Of an emulated board. */
  readonly memoryMiB?: number;
  /** Boot an emulated board from the beginning instead of resuming from the snapshot. */
  readonly coldBoot?: boolean;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
};

/**
 * Starts a board from the cache, and builds what the cache lacks. The caller must
 * {@link Board.stop} it.
 */
export async function startBoard(options: BoardOptions): Promise<Board> {
  const { config } = loadBoardConfig(options.board);
  return config.kind === 'native' ? await startNative(config, options) : await startEmulated(options);
}

async function startEmulated(options: BoardOptions): Promise<EmulatedBoard> {
  const progress = options.progress ?? (() => undefined);
  if (options.powerLoss === true) checkPrograms(['nbdkit', 'qemu-nbd']);
  const image = await boardImage(options.board, progress);
  let snapshot = await bootedSnapshot(image, options.memoryMiB ?? image.config.memoryMiB, progress);
  const debs = (options.debs ?? []).map((path) => resolve(path));
  if (debs.length > 0) snapshot = await installedSnapshot(image, snapshot, debs, progress);
  options.signal?.throwIfAborted();
  const board = new EmulatedBoard(image, snapshot, options.powerLoss === true);
  try {
    await board.launch(options.coldBoot === true ? 'cold' : 'snapshot', true);
    for (const { guest, host } of options.forwards ?? []) await board.forward(guest, host);
    return board;
  } catch (error) {
    await board.stop();
    throw error;
  }
}
