import { partOf } from './percent.ts';
import type { Member, Rollout, Seen } from './rollout.ts';
import { standingOf } from './standing.ts';

/** The state of a wave. */
export interface Tally {
  readonly wave: number;
  /** Members that count: without those that another command has taken over. */
  readonly size: number;
  readonly unsent: readonly Member[];
  readonly waiting: number;
  readonly good: number;
  readonly failed: number;
  readonly left: number;
  /** How many must be good. */
  readonly needed: number;
  /** When enough were good; undefined while they are not. Milliseconds since 1970. */
  readonly goodSinceMs?: number;
  /** Why the rollout must halt, in words. */
  readonly trouble?: string;
}

/** Tallies of all waves, the first wave first. One pass over the members. */
export function tallyWaves(
  rollout: Rollout,
  seen: ReadonlyMap<string, Seen>,
  nowMs: number,
): readonly Tally[] {
  const counts: Count[] = [];
  for (const member of rollout.members) {
    const count = (counts[member.wave] ??= newCount());
    const standing = standingOf(rollout, member, seen.get(member.device), nowMs);
    switch (standing.is) {
      case 'unsent':
        count.unsent.push(member);
        break;
      case 'waiting':
        count.waiting += 1;
        break;
      case 'left':
        count.left += 1;
        break;
      case 'good':
        count.goodAt.push(standing.sinceMs);
        break;
      case 'failed':
        count.failed += 1;
        count.codes.set(standing.code, (count.codes.get(standing.code) ?? 0) + 1);
        break;
    }
  }
  return counts.map((count, wave) => tallyOf(rollout, wave, count));
}

interface Count {
  readonly unsent: Member[];
  readonly goodAt: number[];
  readonly codes: Map<string, number>;
  waiting: number;
  failed: number;
  left: number;
}

const newCount = (): Count => ({ unsent: [], goodAt: [], codes: new Map(), waiting: 0, failed: 0, left: 0 });

function tallyOf(rollout: Rollout, wave: number, count: Count): Tally {
  const { unsent, goodAt, waiting, failed, left } = count;
  const { successPercent, errorPercent } = rollout.rules;
  const good = goodAt.length;
  const size = unsent.length + waiting + good + failed;
  const needed = Math.ceil(partOf(size, successPercent));
  const mayFail = Math.floor(partOf(size, errorPercent));
  const codes = [...count.codes].sort(([, a], [, b]) => b - a).map(([code, times]) => `${times} ${code}`);
  const failures = `${failed} of ${size} devices of wave ${wave + 1} failed (${codes.join(', ')})`;
  let trouble: string | undefined;
  if (failed > mayFail) trouble = `${failures}; at most ${mayFail} may`;
  else if (size - failed < needed) trouble = `${failures}; ${needed} must commit`;
  // The moment at which the last device that was needed became good.
  const since = needed === 0 ? 0 : goodAt.sort((a, b) => a - b)[needed - 1];
  return {
    wave,
    size,
    unsent,
    waiting,
    good,
    failed,
    left,
    needed,
    ...(since === undefined ? {} : { goodSinceMs: since }),
    ...(trouble === undefined ? {} : { trouble }),
  };
}
