import { it } from 'vitest';
import { type Ability, lacksOf, loadBoardConfig } from '../../qemu/index.ts';
import { matrix, named } from '../support/boards.ts';

const kindOf = (name: string) => loadBoardConfig(name).config.kind;
const suiteOf = (name: string) => loadBoardConfig(name).config.suite;

/** For tests that must run on every architecture, kernel and systemd. */
export const everyBoard: readonly string[] = named ?? matrix;

/**
 * For tests that a slow processor or a board's kernel may break: the native and one emulated board.
 */
export const everyKind: readonly string[] = named ?? matrix.slice(0, 2);

/** For tests that another systemd, Node or dpkg may break: one board for each Debian release. */
export const everyRelease: readonly string[] =
  named ?? matrix.filter((name, at) => matrix.findIndex((one) => suiteOf(one) === suiteOf(name)) === at);

/** For tests that need no ability that a board may lack. */
export const oneBoard: readonly string[] = named ?? matrix.slice(0, 1);

/** The first board and, if it lacks one of these abilities, the first other board that has it. */
export function boardsFor(...needs: readonly Ability[]): readonly string[] {
  if (named !== undefined) return named;
  const homes = needs.map((need) => matrix.find((board) => lacksOf(board)[need] === undefined));
  return matrix.filter((board) => board === matrix[0] || homes.includes(board));
}

/** `it` on a board with these abilities; elsewhere a skipped test that gives the reason. */
export function itOn(board: string, ...needs: readonly Ability[]): typeof it {
  const lacks = lacksOf(board);
  const missing = needs.find((need) => lacks[need] !== undefined);
  return missing === undefined ? it : skipped(`${board} lacks ${missing}: ${lacks[missing] ?? ''}`);
}

/**
 * Like {@link itOn}, on one board only: the first of the matrix with these abilities, unless boards
 * are named.
 */
export function itOnce(board: string, ...needs: readonly Ability[]): typeof it {
  const home = matrix.find((one) => needs.every((need) => lacksOf(one)[need] === undefined));
  if (named !== undefined || home === undefined || home === board) return itOn(board, ...needs);
  return skipped(`${board} need not show it: ${home} does`);
}

/**
 * Like {@link itOn}, on the native board and the first emulated one with these abilities, unless
 * boards are named.
 */
export function itOncePerKind(board: string, ...needs: readonly Ability[]): typeof it {
  const able = matrix.filter((one) => needs.every((need) => lacksOf(one)[need] === undefined));
  const home = able.find((one) => kindOf(one) === kindOf(board));
  if (named !== undefined || home === undefined || home === board) return itOn(board, ...needs);
  return skipped(`${board} need not show it: ${home} does`);
}

/** Callers use only the plain call of `it`. */
function skipped(reason: string): typeof it {
  const skip = (title: string): void => it(title, (test) => test.skip(reason));
  return skip as typeof it;
}
