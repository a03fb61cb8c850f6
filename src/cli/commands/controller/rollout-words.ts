import {
  isTouched,
  tallyWaves,
  type Rollout,
  type Standing,
  type Tally,
  undoStandingOf,
  type WavePlan,
} from '../../../controller/rollout/index.ts';

/** What a rollout does now, in words. */
export function nextStep(rollout: Rollout, plan: WavePlan): string {
  switch (plan.do) {
    case 'send':
      return plan.undo ? 'undoing' : `sending wave ${plan.wave + 1}`;
    case 'halt':
      return `halting: ${plan.reason}`;
    case 'finish':
      return plan.phase;
    case 'wait':
      return rollout.phase === 'undoing' ? 'awaiting the answers to the undo' : waiting(rollout, plan);
  }
}

function waiting(
  { id, phase, rules }: Rollout,
  { for: what, wave }: Extract<WavePlan, { do: 'wait' }>,
): string {
  switch (what) {
    case 'answers':
      return `awaiting the answers of wave ${wave + 1}`;
    case 'soak':
      return `soaking wave ${wave + 1}`;
    case 'approval':
      return `wave ${wave + 1} awaits "wherry rollout approve ${id}"${rules.approval ? '' : ': every device before it got another command, and none has tried this one'}`;
    case 'a person':
      if (phase === 'signing') return `signing; others sign it with "wherry rollout sign ${id}"`;
      return phase === 'paused' ? `paused; continue with "wherry rollout resume ${id}"` : phase;
  }
}

/** `spring  wave 2 of 3  40 of 400 sent: 38 good, 1 failed, 1 waiting` */
export function progressLine(rollout: Rollout, tallies: readonly Tally[], nowMs: number): string {
  const { id, phase, members } = rollout;
  if (phase === 'undoing' || phase === 'undone') return `${id}  undo  ${undoInWords(rollout, nowMs)}`;
  const sum = (of: (tally: Tally) => number) => tallies.reduce((all, tally) => all + of(tally), 0);
  const unsent = sum((tally) => tally.unsent.length);
  const wave = tallies.findLast((tally) => tally.unsent.length < tally.size)?.wave ?? 0;
  const left = sum((tally) => tally.left);
  const counts = `${sum(({ good }) => good)} good, ${sum(({ failed }) => failed)} failed, ${sum((tally) => tally.waiting)} waiting`;
  return `${id}  wave ${wave + 1} of ${tallies.length}  ${members.length - unsent} of ${members.length} sent: ${counts}${left === 0 ? '' : `, ${left} commanded otherwise`}`;
}

/** `20 of 40 sent: 18 back, 1 failed, 1 waiting` */
export function undoInWords(rollout: Rollout, nowMs: number): string {
  const touched = rollout.members.filter((member) => member.undoVersion !== undefined && isTouched(member));
  const sent = touched.filter(({ undoSentAtMs }) => undoSentAtMs !== undefined);
  const standings = sent.map((member) => undoStandingOf(rollout, member, undefined, nowMs)?.is);
  const count = (is: Standing['is']): number => standings.filter((one) => one === is).length;
  const left = count('left');
  const counts = `${count('good')} back, ${count('failed')} failed, ${count('waiting')} waiting`;
  return `${sent.length} of ${touched.length} sent: ${counts}${left === 0 ? '' : `, ${left} commanded otherwise`}`;
}

/** The JSON of a rollout for programs: counts, not every device. */
export function rolloutJson(rollout: Rollout, nowMs: number): object {
  const { id, created, expires, phase, reason, approvedWaves, stages, rules, members } = rollout;
  const undone = members.filter(({ undoAnswer }) => undoAnswer !== undefined);
  return {
    id,
    created,
    expires,
    phase,
    ...(reason === undefined ? {} : { reason }),
    approvedWaves,
    stages,
    rules,
    devices: members.length,
    waves: tallyWaves(rollout, new Map(), nowMs).map(
      ({ wave, size, unsent, waiting: open, good, failed, left }) => ({
        wave: wave + 1,
        size,
        sent: size - unsent.length,
        waiting: open,
        good,
        failed,
        left,
      }),
    ),
    ...(undone.length === 0
      ? {}
      : { undone: undone.filter(({ undoAnswer }) => undoAnswer?.phase === 'committed').length }),
  };
}
