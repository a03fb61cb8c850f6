import type { Answer, Member, Rollout, Seen } from './rollout.ts';

/** The state of a device in a rollout, from the stored data and its current report. */
export type Standing =
  | { readonly is: 'unsent' | 'waiting' | 'left' }
  | { readonly is: 'good'; readonly sinceMs: number }
  | { readonly is: 'failed'; readonly code: string };

/**
 * The state of a member's command. An answer that is not in the database yet also counts: a
 * controller may have died before it stored it.
 */
export function standingOf(
  rollout: Rollout,
  member: Member,
  seen: Seen | undefined,
  nowMs: number,
): Standing {
  const { version, undoVersion, answer: stored, sentAtMs } = member;
  if (sentAtMs === undefined && stored === undefined)
    return { is: isCommandedOtherwise(version, seen) ? 'left' : 'unsent' };
  const answer = answerTo(version, stored, seen, nowMs);
  if (answer !== undefined) return judged(member, answer, seen);
  // The rollout's own undo is not another command.
  if (isCommandedOtherwise(version, seen) && seen?.trustedVersion !== undoVersion) return { is: 'left' };
  return silentSince(rollout, sentAtMs, nowMs);
}

/** The state of a member that has not answered the command that was sent at this time. */
function silentSince({ rules: { answerSeconds } }: Rollout, sentAtMs = Infinity, nowMs: number): Standing {
  if (answerSeconds !== undefined && nowMs - sentAtMs >= answerSeconds * 1000)
    return { is: 'failed', code: 'not-confirmed' };
  return { is: 'waiting' };
}

/** The state of a member's undo; undefined when there is nothing to undo. */
export function undoStandingOf(
  rollout: Rollout,
  member: Member,
  seen: Seen | undefined,
  nowMs: number,
): Standing | undefined {
  const { undoVersion, undoAnswer, undoSentAtMs } = member;
  if (undoVersion === undefined || !isTouched(member)) return undefined;
  if (isCommandedOtherwise(undoVersion, seen)) return { is: 'left' };
  if (undoSentAtMs === undefined && undoAnswer === undefined) return { is: 'unsent' };
  const answer = answerTo(undoVersion, undoAnswer, seen, nowMs);
  if (answer === undefined) return silentSince(rollout, undoSentAtMs, nowMs);
  return judged({ version: undoVersion }, answer, undefined);
}

/** Whether the command may have reached the device, and no other command replaced it since. */
export function isTouched({ answer, sentAtMs }: Member): boolean {
  return answer?.phase !== 'left' && sentAtMs !== undefined;
}

/** The stored answer, or a reported one that is not stored yet. */
function answerTo(
  version: number,
  stored: Answer | undefined,
  seen: Seen | undefined,
  nowMs: number,
): Answer | undefined {
  if (stored !== undefined) return stored;
  const reported = seen?.answers.get(version);
  return reported === undefined ? undefined : { ...reported, atMs: nowMs };
}

/**
 * Whether the device has trusted a later version, from another command, and so refuses this one.
 */
export function isCommandedOtherwise(version: number, seen: Seen | undefined): boolean {
  return seen !== undefined && seen.trustedVersion > version;
}

function judged({ version }: Pick<Member, 'version'>, answer: Answer, seen: Seen | undefined): Standing {
  if (answer.phase === 'left') return { is: 'left' };
  if (answer.phase !== 'committed') return { is: 'failed', code: answer.code ?? 'internal' };
  // It was committed and its pods fail now, during the soak or later.
  if (seen?.currentVersion === version && !seen.healthy) return { is: 'failed', code: 'probation-failed' };
  return { is: 'good', sinceMs: answer.atMs };
}

/**
 * The change that moves the times of a member which are in the future to `nowMs`; undefined when
 * none is. They were stored by a clock that was ahead, and a soak would last until then.
 */
export function withoutFuture(
  { answer, sentAtMs, undoSentAtMs }: Member,
  nowMs: number,
): Partial<Member> | undefined {
  const isUndoAhead = undoSentAtMs !== undefined && undoSentAtMs > nowMs;
  const isSentAhead = sentAtMs !== undefined && sentAtMs > nowMs;
  const isAnsweredAhead = answer !== undefined && answer.atMs > nowMs;
  if (!isSentAhead && !isAnsweredAhead && !isUndoAhead) return undefined;
  return {
    ...(isSentAhead ? { sentAtMs: nowMs } : {}),
    ...(isUndoAhead ? { undoSentAtMs: nowMs } : {}),
    ...(isAnsweredAhead ? { answer: { ...answer, atMs: nowMs } } : {}),
  };
}
