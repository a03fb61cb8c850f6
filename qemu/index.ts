/**
 * The board rig: boards with a real Linux and a real systemd, for tests and for users, emulated ARM
 * machines and native containers. It makes their file systems from Debian packages and starts
 * boards from its cache. The only parts of wherry that it uses are packages to install. All its
 * files are in one cache directory, which may be deleted.
 */
export { lacksOf } from './abilities.ts';
export type { Ability, Lacks } from './abilities.ts';
export type { BlockStats, Board, RunOptions, RunResult } from './board-types.ts';
export { startBoard } from './start-board.ts';
export type { BoardOptions } from './start-board.ts';
export { boardNames, loadBoardConfig } from './board-config.ts';
export type { BoardConfig } from './board-config.ts';
export type { FilesystemCheck } from './filesystem-check.ts';
export { PreconditionError } from './preconditions.ts';
