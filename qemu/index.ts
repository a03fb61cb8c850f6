/**
 * The board rig: emulated ARM boards with a real Linux and a real systemd, for tests and for users. It makes images
 * from Debian packages, boots them once, and starts boards from snapshots. It knows nothing of wherry beyond the
 * packages it is asked to install, and everything it keeps lies in one cache directory that may be deleted.
 */
export { Board } from './board.ts';
export type { BlockStats, RunOptions, RunResult } from './board-types.ts';
export { startBoard } from './start-board.ts';
export type { BoardOptions } from './start-board.ts';
export { boardNames, loadBoardConfig } from './board-config.ts';
export type { BoardConfig } from './board-config.ts';
export type { FilesystemCheck } from './filesystem-check.ts';
export { PreconditionError } from './preconditions.ts';
