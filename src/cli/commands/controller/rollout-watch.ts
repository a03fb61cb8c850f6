import { driveRollout } from '../../../controller/drive/index.ts';
import type { RolloutStore } from '../../../controller/database/index.ts';
import { tallyWaves, type Rollout, type Seen, type WavePlan } from '../../../controller/rollout/index.ts';
import type { Clock } from '../../../core/ports/index.ts';
import { Refusal, refusalCodes, type RefusalCode } from '../../../core/refusal/index.ts';
import { FleetDirectory, type FleetLink } from '../../../operator/fleet/index.ts';
import { withLink, type Context } from '../../context.ts';
import type { DatabaseFlags } from '../../flags.ts';
import { LiveLines } from '../../terminal.ts';
import { nextStep, progressLine, rolloutJson } from './rollout-words.ts';
import { withStore } from './with-store.ts';

/** The shortest time between two redraws of a rollout's line while its milestone stays the same. */
const redrawMs = 500;

/** `wherry rollout watch` */
export async function watchRollout(context: Context, id: string, flags: DatabaseFlags): Promise<void> {
  const directory = await FleetDirectory.open(context.fleetPath);
  await withStore(directory, flags, { isNew: false }, async (store) => {
    // An unknown ID is refused also while the broker is away.
    await store.load(id);
    await withLink(context, (link, fleet) =>
      carryOut(context, { fleet, link, store, clock: context.clock }, id),
    );
  });
}

interface Means {
  readonly fleet: FleetDirectory;
  readonly link: FleetLink;
  readonly store: RolloutStore;
  readonly clock: Clock;
}

/**
 * Carries a rollout out and shows it.
 * @throws Refusal with the code of the most frequent failure when it halts
 */
export async function carryOut(context: Context, means: Means, id: string): Promise<void> {
  const { terminal, clock } = context;
  const lines = new LiveLines(terminal);
  let drawnMs = -Infinity;
  let shown = '';
  const onStep = (rollout: Rollout, seen: ReadonlyMap<string, Seen>, plan: WavePlan) => {
    const milestone = nextStep(rollout, plan);
    // Counting thousands of devices for every message would cost more than the rollout.
    if (milestone === shown && clock.monotonicMs() - drawnMs < redrawMs) return;
    shown = milestone;
    drawnMs = clock.monotonicMs();
    const nowMs = clock.nowMs();
    const tallies = tallyWaves(rollout, seen, nowMs);
    lines.update(id, `${progressLine(rollout, tallies, nowMs)}  ${milestone}`, milestone);
  };
  const rollout = await driveRollout(means, id, {
    signal: terminal.stop,
    onStep,
    onTrouble: (problem) => terminal.err(`${problem ?? 'the rollout continues'}\n`),
  });
  if (terminal.stop.aborted) return;
  if (context.json) terminal.out(JSON.stringify(rolloutJson(rollout, clock.nowMs())));
  else terminal.out(`${id}  ${rollout.phase}${rollout.reason === undefined ? '' : `: ${rollout.reason}`}`);
  if (rollout.phase === 'halted') {
    const advice = `see "wherry rollout show ${id}"; continue with "resume", or go back with "undo"`;
    throw new Refusal(
      commonCode(rollout),
      `the rollout ${id} is halted: ${rollout.reason ?? 'by a person'}; ${advice}`,
    );
  }
}

/**
 * The most frequent code of failed devices; `not-confirmed` when none failed and a person halted
 * it.
 */
function commonCode({ members }: Rollout): RefusalCode {
  const counts = new Map<string, number>();
  for (const { answer } of members) {
    if (answer?.code !== undefined && answer.phase !== 'left')
      counts.set(answer.code, (counts.get(answer.code) ?? 0) + 1);
  }
  const [most] = [...counts].sort(([, a], [, b]) => b - a);
  const code = most?.[0] ?? '';
  return Object.hasOwn(refusalCodes, code) ? (code as RefusalCode) : 'not-confirmed';
}
