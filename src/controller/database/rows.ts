import type { Answer, Member, Phase, Rules, Stage } from '../rollout/index.ts';
import { numberOf, textOf, type Row, type SqlValue } from './sql.ts';

/** Columns of a member without its commands, which are read only to send or sign them. */
export const memberColumns = `device, wave, before_version, version, sent, answered, answer, code, message,
  undo_version, undo_sent, undo_answered, undo_answer, undo_code, undo_message`;

/** A rollout without its members. */
export interface RolloutRow {
  readonly id: string;
  readonly created: number;
  readonly expires: number;
  readonly revision: number;
  readonly phase: Phase;
  readonly reason?: string;
  readonly approvedWaves: number;
  readonly stages: readonly Stage[];
  readonly rules: Rules;
}

export function rolloutOfRow(row: Row): RolloutRow {
  return {
    id: textOf(row, 'id'),
    created: numberOf(row, 'created'),
    expires: numberOf(row, 'expires'),
    revision: numberOf(row, 'revision'),
    phase: textOf(row, 'phase') as Phase,
    ...(row['reason'] === null ? {} : { reason: textOf(row, 'reason') }),
    approvedWaves: numberOf(row, 'approved_waves'),
    // Written by this program.
    stages: JSON.parse(textOf(row, 'stages')) as readonly Stage[],
    rules: JSON.parse(textOf(row, 'rules')) as Rules,
  };
}

export function memberOfRow(row: Row): Member {
  const answer = answerOfRow(row, '');
  const undoAnswer = answerOfRow(row, 'undo_');
  return {
    device: textOf(row, 'device'),
    wave: numberOf(row, 'wave'),
    before: numberOf(row, 'before_version'),
    version: numberOf(row, 'version'),
    ...(row['undo_version'] === null ? {} : { undoVersion: numberOf(row, 'undo_version') }),
    ...(row['sent'] === null ? {} : { sentAtMs: numberOf(row, 'sent') }),
    ...(answer === undefined ? {} : { answer }),
    ...(row['undo_sent'] === null ? {} : { undoSentAtMs: numberOf(row, 'undo_sent') }),
    ...(undoAnswer === undefined ? {} : { undoAnswer }),
  };
}

function answerOfRow(row: Row, prefix: '' | 'undo_'): Answer | undefined {
  if (row[`${prefix}answer`] === null) return undefined;
  return {
    phase: textOf(row, `${prefix}answer`) as Answer['phase'],
    ...(row[`${prefix}code`] === null ? {} : { code: textOf(row, `${prefix}code`) }),
    ...(row[`${prefix}message`] === null ? {} : { message: textOf(row, `${prefix}message`) }),
    atMs: numberOf(row, `${prefix}answered`),
  };
}

/** Values for answer, code, message, answered. */
export function answerValues({ phase, code, message, atMs }: Answer): readonly SqlValue[] {
  return [phase, code ?? null, message ?? null, atMs];
}
