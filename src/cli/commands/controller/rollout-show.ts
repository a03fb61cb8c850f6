import {
  formatStage,
  tallyWaves,
  type Member,
  type Phase,
  type Rollout,
} from '../../../controller/rollout/index.ts';
import { FleetDirectory } from '../../../operator/fleet/index.ts';
import type { Context } from '../../context.ts';
import type { DatabaseFlags } from '../../flags.ts';
import { formatTable, type Cell } from '../../format.ts';
import { rolloutJson, undoInWords } from './rollout-words.ts';
import { withStore } from './with-store.ts';

/** How many devices are listed without `--devices`. */
const namedAtMost = 20;

/** `wherry rollout list` */
export async function listRollouts(context: Context, flags: DatabaseFlags): Promise<void> {
  const fleet = await FleetDirectory.open(context.fleetPath);
  const { terminal } = context;
  const rollouts = await withStore(fleet, flags, { isNew: false }, (store) => store.list());
  if (context.json) {
    terminal.out(JSON.stringify(rollouts.map(({ revision: _revision, ...rollout }) => rollout)));
    return;
  }
  if (rollouts.length === 0) {
    terminal.out('there is no rollout of this fleet');
    return;
  }
  const header = ['ROLLOUT', 'STARTED', 'PHASE', 'DEVICES', 'SENT', 'COMMITTED', 'FAILED'];
  const rows = rollouts.map(({ id, created, phase, devices, sent, committed, failed }) => [
    id,
    when(created * 1000),
    phaseCell(phase),
    ...[devices, sent, committed].map(String),
    failedCell(failed),
  ]);
  terminal.out(formatTable(terminal, header, rows));
}

/** `wherry rollout show` */
export async function showRollout(
  context: Context,
  id: string,
  flags: DatabaseFlags & { readonly devices?: true },
): Promise<void> {
  const fleet = await FleetDirectory.open(context.fleetPath);
  const { terminal } = context;
  const { rollout } = await withStore(fleet, flags, { isNew: false }, (store) => store.load(id));
  const nowMs = context.clock.nowMs();
  const shown = rollout.members.filter(
    (member) => flags.devices === true || isTroubled(member, rollout.phase),
  );
  if (context.json) {
    terminal.out(JSON.stringify({ ...rolloutJson(rollout, nowMs), members: shown }));
    return;
  }
  const { phase, reason, created, rules, stages } = rollout;
  terminal.out(`${id}  ${phase}${reason === undefined ? '' : `: ${reason}`}`);
  terminal.out(
    `started ${when(created * 1000)}; stages ${stages.map(formatStage).join(', ')}; soak ${rules.soakSeconds} s; ${rules.successPercent} % must commit, ${rules.errorPercent} % may fail`,
  );
  terminal.out(waveTable(terminal, rollout, nowMs));
  if (rollout.members.some(({ undoSentAtMs }) => undoSentAtMs !== undefined))
    terminal.out(`undo: ${undoInWords(rollout, nowMs)}`);
  const named = flags.devices === true ? shown : shown.slice(0, namedAtMost);
  for (const member of named) terminal.out(memberLine(member));
  if (named.length < shown.length)
    terminal.out(`and ${shown.length - named.length} more: --devices lists all`);
}

function waveTable(terminal: Context['terminal'], rollout: Rollout, nowMs: number): string {
  const header = ['WAVE', 'DEVICES', 'SENT', 'GOOD', 'FAILED', 'WAITING', 'OTHERWISE'];
  const rows = tallyWaves(rollout, new Map(), nowMs).map(
    ({ wave, size, unsent, good, failed, waiting, left }) => [
      ...[wave + 1, size + left, size - unsent.length, good].map(String),
      failedCell(failed),
      ...[waiting, left].map(String),
    ],
  );
  return formatTable(terminal, header, rows);
}

/** Devices that failed, and those that are silent once the rollout no longer waits for them. */
function isTroubled({ answer, sentAtMs, undoAnswer, undoSentAtMs }: Member, phase: Phase): boolean {
  const isOver = phase === 'halted' || phase === 'complete' || phase === 'undone';
  const awaited = undoSentAtMs === undefined ? [sentAtMs, answer] : [undoSentAtMs, undoAnswer];
  if (isOver && awaited[0] !== undefined && awaited[1] === undefined) return true;
  return [answer, undoAnswer].some((one) => one !== undefined && one.phase !== 'committed');
}

function memberLine({
  device,
  wave,
  before,
  version,
  sentAtMs,
  answer,
  undoAnswer,
  undoSentAtMs,
}: Member): string {
  const state = answer?.phase ?? (sentAtMs === undefined ? 'not sent' : 'no answer seen');
  const why = answer?.code === undefined ? '' : ` (${answer.code}): ${answer.message ?? ''}`;
  const undone = undoAnswer?.phase ?? (undoSentAtMs === undefined ? undefined : 'no answer seen');
  const undoWhy = undoAnswer?.code === undefined ? '' : ` (${undoAnswer.code}): ${undoAnswer.message ?? ''}`;
  const undo = undone === undefined ? '' : `; undo: ${undone}${undoWhy}`;
  return `${device}  wave ${wave + 1}  version ${before} → ${version}  ${state}${why}${undo}`;
}

const when = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace('T', ' ');

function phaseCell(phase: string): Cell {
  return { text: phase, colour: phase === 'complete' ? 'green' : phase === 'halted' ? 'red' : 'yellow' };
}

function failedCell(failed: number): Cell {
  return failed === 0 ? { text: '0' } : { text: String(failed), colour: 'red' };
}
