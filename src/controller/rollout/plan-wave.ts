import type { Member, Rollout, Seen } from './rollout.ts';
import { undoStandingOf } from './standing.ts';
import { tallyWaves, type Tally } from './tally.ts';

/** What a controller does next. */
export type WavePlan =
  /** Publish the commands of these members, or with `undo` those that undo them. */
  | {
      readonly do: 'send';
      readonly wave: number;
      readonly members: readonly Member[];
      readonly undo: boolean;
    }
  | { readonly do: 'halt'; readonly reason: string }
  | { readonly do: 'finish'; readonly phase: 'complete' | 'undone'; readonly reason?: string }
  | {
      readonly do: 'wait';
      readonly for: 'answers' | 'soak' | 'approval' | 'a person';
      readonly wave: number;
      /** When to plan again at the latest; milliseconds since 1970. */
      readonly untilMs?: number;
    };

/**
 * The next step of a rollout: a function of stored data, reports of devices, and the time. Two
 * controllers, or one that was killed and its successor, choose the same step.
 *
 * A wave begins when every wave before it has been good for the soak time, and when it is approved
 * if approval is required, or if other commands took all devices of the waves before it. So when a
 * wave fails, no device of a later one was touched.
 */
export function planWave(rollout: Rollout, seen: ReadonlyMap<string, Seen>, nowMs: number): WavePlan {
  switch (rollout.phase) {
    case 'running':
      return planRunning(rollout, tallyWaves(rollout, seen, nowMs), nowMs);
    case 'undoing':
      return planUndo(rollout, seen, nowMs);
    case 'signing':
    case 'paused':
    case 'halted':
    case 'complete':
    case 'undone':
      return { do: 'wait', for: 'a person', wave: 0 };
  }
}

function planRunning(rollout: Rollout, tallies: readonly Tally[], nowMs: number): WavePlan {
  const { soakSeconds, approval } = rollout.rules;
  const troubled = tallies.find(({ trouble }) => trouble !== undefined);
  if (troubled?.trouble !== undefined) return { do: 'halt', reason: troubled.trouble };
  let tried = 0;
  for (const { wave, size, unsent, goodSinceMs } of tallies) {
    if (unsent.length > 0) {
      // Waves of which no device was left have shown nothing, so a person decides as well. A wave
      // that has begun is completed: nobody can approve it.
      const mustApprove = approval || (wave > 0 && tried === 0 && !hasBegun(rollout, wave));
      if (mustApprove && wave > rollout.approvedWaves) return { do: 'wait', for: 'approval', wave };
      if (nowMs >= rollout.expires * 1000) {
        return {
          do: 'halt',
          reason: 'the commands have expired, and devices refuse them; start a new rollout',
        };
      }
      return { do: 'send', wave, members: unsent, undo: false };
    }
    if (goodSinceMs === undefined) return { do: 'wait', for: 'answers', wave, ...answerBy(rollout, wave) };
    const untilMs = goodSinceMs + soakSeconds * 1000;
    if (nowMs < untilMs) return { do: 'wait', for: 'soak', wave, untilMs };
    tried += size;
  }
  // Devices that were not needed for the next wave are awaited here: a late failure counts, too.
  const open = tallies.find(({ waiting }) => waiting > 0);
  if (open !== undefined)
    return { do: 'wait', for: 'answers', wave: open.wave, ...answerBy(rollout, open.wave) };
  const left = tallies.reduce((sum, tally) => sum + tally.left, 0);
  if (left === 0) return { do: 'finish', phase: 'complete' };
  const reason = `${left} of ${rollout.members.length} devices got another command meanwhile`;
  return { do: 'finish', phase: 'complete', reason };
}

/** A large wave is sent in several steps. */
function hasBegun({ members }: Rollout, wave: number): boolean {
  return members.some((member) => member.wave === wave && member.sentAtMs !== undefined);
}

/** When the first unanswered command of the wave times out. */
function answerBy({ members, rules: { answerSeconds } }: Rollout, wave: number): { untilMs?: number } {
  if (answerSeconds === undefined) return {};
  let first = Infinity;
  for (const { wave: own, answer, sentAtMs } of members) {
    if (own === wave && answer === undefined && sentAtMs !== undefined) first = Math.min(first, sentAtMs);
  }
  return first === Infinity ? {} : { untilMs: first + answerSeconds * 1000 };
}

/** Undoes all touched devices at once: known bad content needs no waves. */
function planUndo(rollout: Rollout, seen: ReadonlyMap<string, Seen>, nowMs: number): WavePlan {
  const unsent: Member[] = [];
  const { answerSeconds } = rollout.rules;
  let waiting = 0;
  let failed = 0;
  let untilMs = Infinity;
  for (const member of rollout.members) {
    const standing = undoStandingOf(rollout, member, seen.get(member.device), nowMs);
    if (standing?.is === 'unsent') unsent.push(member);
    else if (standing?.is === 'failed') failed += 1;
    if (standing?.is !== 'waiting') continue;
    waiting += 1;
    untilMs = Math.min(untilMs, (member.undoSentAtMs ?? nowMs) + (answerSeconds ?? Infinity) * 1000);
  }
  if (unsent.length > 0) return { do: 'send', wave: 0, members: unsent, undo: true };
  if (waiting > 0)
    return { do: 'wait', for: 'answers', wave: 0, ...(untilMs === Infinity ? {} : { untilMs }) };
  const reason =
    failed === 0 ? {} : { reason: `${failed} devices did not go back; see "wherry rollout show"` };
  return { do: 'finish', phase: 'undone', ...reason };
}
