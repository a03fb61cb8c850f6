import { resolve } from 'node:path';
import { Board } from './board.ts';
import { boardImage, type Progress } from './image.ts';
import { checkPrograms } from './preconditions.ts';
import { bootedSnapshot, installedSnapshot } from './snapshot.ts';

export type BoardOptions = {
  /** A name from `board-configs/`. */
  readonly board: string;
  /** Packages to install; the result is kept, keyed by their content. */
  readonly debs?: readonly string[];
  /** Put the disk behind a layer that {@link Board.powerCut} empties of unflushed writes. Slower. */
  readonly powerLoss?: boolean;
  /** Ports of the board to reach on the host's 127.0.0.1; see {@link Board.forwards}. */
  readonly forwards?: readonly { readonly guest: number; readonly host?: number }[];
  readonly memoryMiB?: number;
  /** Boot from the beginning instead of going on from the snapshot. */
  readonly coldBoot?: boolean;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
};

/** Starts a board from its snapshot, which is made first if need be. The caller must {@link Board.stop} it. */
export async function startBoard(options: BoardOptions): Promise<Board> {
  const progress = options.progress ?? (() => undefined);
  if (options.powerLoss === true) checkPrograms(['nbdkit', 'qemu-nbd']);
  const image = await boardImage(options.board, progress);
  let snapshot = await bootedSnapshot(image, options.memoryMiB ?? image.config.memoryMiB, progress);
  const debs = (options.debs ?? []).map((path) => resolve(path));
  if (debs.length > 0) snapshot = await installedSnapshot(image, snapshot, debs, progress);
  options.signal?.throwIfAborted();
  const board = new Board(image, snapshot, options.powerLoss === true);
  try {
    await board.launch(options.coldBoot === true ? 'cold' : 'snapshot', true);
    for (const { guest, host } of options.forwards ?? []) await board.forward(guest, host);
    return board;
  } catch (error) {
    await board.stop();
    throw error;
  }
}
