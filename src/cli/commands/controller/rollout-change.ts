import type { Decision } from '../../../controller/database/index.ts';
import { planWave, waveToApprove, type Phase, type Rollout } from '../../../controller/rollout/index.ts';
import { Refusal } from '../../../core/refusal/index.ts';
import { FleetDirectory } from '../../../operator/fleet/index.ts';
import { withLink, type Context } from '../../context.ts';
import type { RolloutChangeFlags } from '../../flags.ts';
import { carryOut } from './rollout-watch.ts';
import { withStore } from './with-store.ts';

export type Change = 'pause' | 'resume' | 'halt' | 'undo' | 'approve';

/**
 * The phases in which a person may make a change, and the phase that follows. Undoing a rollout
 * that waits for signatures gives it up: no command was sent.
 */
const changes: Readonly<Record<Change, { readonly from: readonly Phase[]; readonly to?: Phase }>> = {
  pause: { from: ['running'], to: 'paused' },
  resume: { from: ['paused', 'halted'], to: 'running' },
  halt: { from: ['running', 'paused', 'undoing'], to: 'halted' },
  undo: { from: ['signing', 'running', 'paused', 'halted', 'complete'], to: 'undoing' },
  approve: { from: ['running', 'paused'] },
};

/** `wherry rollout pause`, `resume`, `halt`, `undo` and `approve` */
export async function changeRollout(
  context: Context,
  change: Change,
  id: string,
  flags: RolloutChangeFlags,
): Promise<void> {
  const directory = await FleetDirectory.open(context.fleetPath);
  const follows = (change === 'resume' || change === 'undo') && flags.wait;
  await withStore(directory, flags, { isNew: false }, async (store) => {
    const decide = async (): Promise<void> => {
      for (;;) {
        const { rollout, revision } = await store.load(id);
        // Another process may have changed the rollout meanwhile: load it and decide again.
        const decision = decisionOf(rollout, change, flags, context.clock.nowMs());
        if (await store.decide(id, revision, decision)) return;
      }
    };
    if (follows) {
      decisionOf((await store.load(id)).rollout, change, flags, context.clock.nowMs());
      // Without a broker nothing is decided, so that the same command can be repeated.
      await withLink(context, async (link, fleet) => {
        await decide();
        await carryOut(context, { fleet, link, store, clock: context.clock }, id);
      });
      return;
    }
    await decide();
    const { rollout } = await store.load(id);
    if (context.json)
      context.terminal.out(
        JSON.stringify({ id, phase: rollout.phase, approvedWaves: rollout.approvedWaves }),
      );
    else
      context.terminal.out(
        `${id}  ${change === 'approve' ? `wave ${rollout.approvedWaves + 1} may begin` : rollout.phase}`,
      );
  });
}

/** `running, paused or undoing` */
function either(phases: readonly Phase[]): string {
  return new Intl.ListFormat('en-GB', { type: 'disjunction' }).format(phases);
}

/** @throws Refusal `input-invalid` when the rollout is not in a phase for it */
function decisionOf(rollout: Rollout, change: Change, flags: RolloutChangeFlags, nowMs: number): Decision {
  const { id, phase, members, rules } = rollout;
  const { from, to } = changes[change];
  if (!from.includes(phase))
    throw new Refusal(
      'input-invalid',
      `the rollout ${id} is ${phase}; ${change} is for one that is ${either(from)}`,
    );
  const reason = flags.reason === undefined ? {} : { reason: flags.reason };
  if (change === 'approve') {
    const plan = planWave({ ...rollout, phase: 'running' }, new Map(), nowMs);
    const isAwaited = plan.do === 'wait' && plan.for === 'approval';
    if (!rules.approval && !isAwaited)
      throw new Refusal('input-invalid', `the rollout ${id} needs no approval`);
    const next = waveToApprove(rollout);
    if (next === undefined)
      throw new Refusal(
        'input-invalid',
        `the last wave of the rollout ${id} has begun; nothing is to be approved`,
      );
    return { approvedWaves: Math.max(next, rollout.approvedWaves), ...reason };
  }
  if (change === 'undo' && phase === 'signing') return { phase: 'undone', ...reason };
  if (change === 'undo' && members.some(({ undoVersion }) => undoVersion === undefined)) {
    throw new Refusal('input-invalid', `the rollout ${id} was started with --no-undo; use "wherry rollback"`);
  }
  const { errors = rules.errorPercent, success = rules.successPercent } = flags;
  // Devices have gone back already, so what continues is the undo.
  const isUndone = change === 'resume' && members.some(({ undoSentAtMs }) => undoSentAtMs !== undefined);
  const next = isUndone ? 'undoing' : to;
  return {
    ...(next === undefined ? {} : { phase: next }),
    ...(change === 'resume' ? { rules: { ...rules, errorPercent: errors, successPercent: success } } : {}),
    ...reason,
  };
}
