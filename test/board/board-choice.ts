import { it } from 'vitest';
import { type Ability, lacksOf } from '../../qemu/index.ts';

/** The boards that WHERRY_BOARDS names: everything runs on each of them. */
const named = process.env['WHERRY_BOARDS']?.split(',').filter(Boolean);

/** Otherwise everything runs on the first, and on the others what only they can show. */
const matrix = ['native', 'virt-armv8', 'virt-armv7'] as const;

/** For what must be shown on every architecture, kernel and systemd. */
export const everyBoard: readonly string[] = named ?? matrix;

/** For what needs no ability that a board may lack. */
export const oneBoard: readonly string[] = named ?? matrix.slice(0, 1);

/** The first board and, if it lacks one of these abilities, the first of the others that has it. */
export function boardsFor(...needs: readonly Ability[]): readonly string[] {
  if (named !== undefined) return named;
  const homes = needs.map((need) => matrix.find((board) => lacksOf(board)[need] === undefined));
  return matrix.filter((board) => board === matrix[0] || homes.includes(board));
}

/** `it` where the board can do what is needed; elsewhere a skipped test that gives the reason. */
export function itOn(board: string, ...needs: readonly Ability[]): typeof it {
  const lacks = lacksOf(board);
  const missing = needs.find((need) => lacks[need] !== undefined);
  return missing === undefined ? it : skipped(`${board} lacks ${missing}: ${lacks[missing] ?? ''}`);
}

/**
 * Like {@link itOn}, on one board only: the first of the matrix that can, unless boards are named.
 */
export function itOnce(board: string, ...needs: readonly Ability[]): typeof it {
  const home = matrix.find((one) => needs.every((need) => lacksOf(one)[need] === undefined));
  if (named !== undefined || home === undefined || home === board) return itOn(board, ...needs);
  return skipped(`${board} need not show it: ${home} does`);
}

/** Of `it` only the call itself and `each` are used with these. */
function skipped(reason: string): typeof it {
  const skip = (title: string): void => it(title, (test) => test.skip(reason));
  return skip as typeof it;
}
