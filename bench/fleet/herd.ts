import type { SimLine } from './programs.ts';

/** How devices reconnected after every connection was lost. */
export interface Herd {
  /** Attempts per second in the intervals that are wholly within the window. */
  readonly least: number;
  readonly most: number;
  readonly perDevice: number;
  /** Until every device was connected again. */
  readonly seconds: number;
}

/**
 * Evaluates the numbers that `wherry sim` printed after the connections were lost. The loss is in
 * the first interval, so the window begins with the second one at the latest.
 */
export function attemptsAfterRestart(
  lines: readonly SimLine[],
  before: SimLine,
  count: number,
  windowSeconds: number,
): Herd {
  const after = lines.slice(lines.indexOf(before));
  const lost = after.findIndex(({ connected }) => connected < count);
  const begun = after[lost];
  const end = after.at(-1);
  if (begun === undefined || end === undefined) throw new Error('no connection was lost');
  const rates: number[] = [];
  for (let index = lost + 1; index < after.length; index++) {
    const [from, to] = [after[index - 1], after[index]];
    if (from === undefined || to === undefined) break;
    // The loss was before `begun`, at most the length of an interval.
    const intervalMs = to.atMs - from.atMs;
    if (to.atMs - begun.atMs > windowSeconds * 1000 - intervalMs) break;
    rates.push((1000 * (to.attempts - from.attempts)) / intervalMs);
  }
  return {
    least: Math.min(...rates),
    most: Math.max(...rates),
    perDevice: (end.attempts - before.attempts) / count,
    seconds: (end.atMs - begun.atMs) / 1000,
  };
}
