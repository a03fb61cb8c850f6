import type { Rollout } from './rollout.ts';

/**
 * The wave that a person may let begin: the first that has not begun and has a device that no other
 * command took. Undefined when there is none.
 */
export function waveToApprove({ members }: Rollout): number | undefined {
  const begun = new Set<number>();
  const open = new Set<number>();
  for (const { wave, sentAtMs, answer } of members) {
    if (sentAtMs !== undefined) begun.add(wave);
    else if (answer === undefined) open.add(wave);
  }
  const next = Math.min(...[...open].filter((wave) => !begun.has(wave)));
  return next === Infinity ? undefined : next;
}
