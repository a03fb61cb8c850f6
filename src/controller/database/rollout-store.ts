import { isAcName } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { openPhases, type Answer, type Phase, type Rollout, type Rules } from '../rollout/index.ts';
import { answerValues, memberColumns, memberOfRow, rolloutOfRow, type RolloutRow } from './rows.ts';
import { bytesOf, numberOf, textOf, type Query, type Row, type Sql } from './sql.ts';

/** The signed commands of a member. */
export interface Commands {
  readonly command: Uint8Array;
  /** The command encrypted with the values of its secrets, if it has any. */
  readonly sealed?: Uint8Array;
  readonly undo?: Uint8Array;
}

/** A signed command, or the one that undoes it. */
export interface StoredCommand {
  readonly envelope: Uint8Array;
  readonly sealed?: Uint8Array;
}

/** A stored rollout. `revision` increases with each decision of a person or a controller. */
export interface StoredRollout {
  readonly rollout: Rollout;
  readonly revision: number;
}

export interface RolloutSummary extends RolloutRow {
  readonly devices: number;
  readonly sent: number;
  readonly committed: number;
  readonly failed: number;
}

export interface NewAnswer {
  readonly device: string;
  readonly undo: boolean;
  readonly answer: Answer;
}

/** A decision of a person or a controller. Absent members stay unchanged. */
export interface Decision {
  readonly phase?: Phase;
  readonly reason?: string;
  readonly approvedWaves?: number;
  readonly rules?: Rules;
}

/**
 * The rollouts of a fleet. Each decision names the revision on which it is based. If another
 * process was faster, it changes nothing and returns false; the caller must decide again.
 *
 * @throws Refusal `database-unavailable` from every method
 */
export class RolloutStore {
  readonly #sql: Sql;
  readonly #fleet: string;

  constructor(sql: Sql, fleet: string) {
    this.#sql = sql;
    this.#fleet = fleet;
  }

  /** Checks what `create` requires, before the commands are signed. @throws Refusal as `create` */
  async requireNew(id: string, devices: readonly string[]): Promise<void> {
    await this.#sql.transaction((query) => this.#requireNew(query, id, devices));
  }

  /**
   * @throws Refusal `input-invalid` when the ID is taken, or a device is in another rollout that is
   *   not over
   */
  async create(rollout: Rollout, commands: ReadonlyMap<string, Commands>): Promise<void> {
    const devices = rollout.members.map(({ device }) => device);
    await this.#sql.transaction(async (query) => {
      await this.#requireNew(query, rollout.id, devices);
      await query(
        `INSERT INTO wherry_rollouts (fleet, id, created, expires, revision, phase, reason, approved_waves, stages, rules)
         VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?)`,
        [
          this.#fleet,
          rollout.id,
          rollout.created,
          rollout.expires,
          rollout.phase,
          rollout.reason ?? null,
          rollout.approvedWaves,
          JSON.stringify(rollout.stages),
          JSON.stringify(rollout.rules),
        ],
      );
      for (const [position, member] of rollout.members.entries()) {
        const { device, wave, before, version, undoVersion } = member;
        const signed = commands.get(device);
        if (signed === undefined) throw new Error(`no command for ${device}`);
        await query(
          `INSERT INTO wherry_members (fleet, rollout, device, position, wave, before_version, version, command, sealed, undo_version, undo_command)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
          [
            this.#fleet,
            rollout.id,
            device,
            position,
            wave,
            before,
            version,
            signed.command,
            signed.sealed ?? null,
            undoVersion ?? null,
            signed.undo ?? null,
          ],
        );
      }
    });
  }

  /** The newest first. */
  async list(): Promise<readonly RolloutSummary[]> {
    return await this.#sql.transaction(async (query) => {
      const { rows } = await query(
        `SELECT r.*, c.devices, c.sent_count, c.committed, c.failed FROM wherry_rollouts r JOIN
          (SELECT rollout, COUNT(*) AS devices, COUNT(sent) AS sent_count,
            COUNT(CASE WHEN answer = 'committed' THEN 1 END) AS committed,
            COUNT(CASE WHEN answer IN ('rolled-back', 'refused') THEN 1 END) AS failed
          FROM wherry_members WHERE fleet = ? GROUP BY rollout) c ON c.rollout = r.id
        WHERE r.fleet = ? ORDER BY r.created DESC, r.id`,
        [this.#fleet, this.#fleet],
      );
      return rows.map((row) => ({
        ...rolloutOfRow(row),
        devices: numberOf(row, 'devices'),
        sent: numberOf(row, 'sent_count'),
        committed: numberOf(row, 'committed'),
        failed: numberOf(row, 'failed'),
      }));
    });
  }

  /** @throws Refusal `not-found` */
  async load(id: string): Promise<StoredRollout> {
    return await this.#sql.transaction(async (query) => {
      const row = await this.#row(query, id);
      if (row === undefined)
        throw new Refusal('not-found', `there is no rollout ${quoted(id)}; see "wherry rollout list"`);
      const { revision, ...rollout } = rolloutOfRow(row);
      const members = await query(
        `SELECT ${memberColumns} FROM wherry_members WHERE fleet = ? AND rollout = ? ORDER BY position`,
        [this.#fleet, id],
      );
      return {
        rollout: { ...rollout, fleet: this.#fleet, members: members.rows.map(memberOfRow) },
        revision,
      };
    });
  }

  /** The current revision; 0 when there is no such rollout. */
  async revision(id: string): Promise<number> {
    return await this.#sql.transaction(async (query) => {
      const row = await this.#row(query, id);
      return row === undefined ? 0 : numberOf(row, 'revision');
    });
  }

  /**
   * Returns whether the decision was stored.
   * @throws Refusal `input-invalid` when it opens a rollout that was over, and a device that it
   *   would command is in another one that is not over
   */
  async decide(id: string, revision: number, decision: Decision): Promise<boolean> {
    const { phase, reason, approvedWaves, rules } = decision;
    return await this.#sql.transaction(async (query) => {
      const before = await this.#row(query, id);
      const { changed } = await query(
        `UPDATE wherry_rollouts SET revision = revision + 1, phase = COALESCE(?, phase), reason = ?,
          approved_waves = COALESCE(?, approved_waves), rules = COALESCE(?, rules)
        WHERE fleet = ? AND id = ? AND revision = ?`,
        [
          phase ?? null,
          reason ?? null,
          approvedWaves ?? null,
          rules === undefined ? null : JSON.stringify(rules),
          this.#fleet,
          id,
          revision,
        ],
      );
      if (changed !== 1 || before === undefined) return false;
      if (
        phase !== undefined &&
        !openPhases.includes(rolloutOfRow(before).phase) &&
        openPhases.includes(phase)
      )
        await this.#requireFree(query, id, phase === 'undoing');
      return true;
    });
  }

  /**
   * Marks the commands of `devices` as sent, before they are published: a controller that dies in
   * between leaves the mark, and the next one publishes what the broker lacks. Returns the
   * commands; undefined when another process was faster.
   */
  async markSent(
    id: string,
    revision: number,
    devices: readonly string[],
    options: { readonly undo: boolean; readonly atMs: number },
  ): Promise<ReadonlyMap<string, StoredCommand> | undefined> {
    const column = options.undo ? 'undo_sent' : 'sent';
    return await this.#sql.transaction(async (query) => {
      const { changed } = await query(
        'UPDATE wherry_rollouts SET revision = revision + 1 WHERE fleet = ? AND id = ? AND revision = ?',
        [this.#fleet, id, revision],
      );
      if (changed !== 1) return undefined;
      for (const device of devices) {
        await query(
          `UPDATE wherry_members SET ${column} = ? WHERE fleet = ? AND rollout = ? AND device = ? AND ${column} IS NULL`,
          [options.atMs, this.#fleet, id, device],
        );
      }
      return await this.#commands(query, id, devices, options.undo);
    });
  }

  /** The signed commands of `devices`, by device. */
  async commands(
    id: string,
    devices: readonly string[],
    undo: boolean,
  ): Promise<ReadonlyMap<string, StoredCommand>> {
    return await this.#sql.transaction((query) => this.#commands(query, id, devices, undo));
  }

  /** All signed commands of a rollout, by device. */
  async allCommands(id: string): Promise<ReadonlyMap<string, Commands>> {
    return await this.#sql.transaction(async (query) => {
      const { rows } = await query(
        'SELECT device, command, undo_command FROM wherry_members WHERE fleet = ? AND rollout = ? ORDER BY position',
        [this.#fleet, id],
      );
      return new Map(
        rows.map((row) => [
          textOf(row, 'device'),
          {
            command: bytesOf(row, 'command'),
            ...(row['undo_command'] === null ? {} : { undo: bytesOf(row, 'undo_command') }),
          },
        ]),
      );
    });
  }

  /** Stores commands with more signatures, and the next phase. Returns whether this was done. */
  async replaceCommands(
    id: string,
    revision: number,
    commands: ReadonlyMap<string, Commands>,
    phase: Phase,
  ): Promise<boolean> {
    return await this.#sql.transaction(async (query) => {
      const { changed } = await query(
        'UPDATE wherry_rollouts SET revision = revision + 1, phase = ? WHERE fleet = ? AND id = ? AND revision = ?',
        [phase, this.#fleet, id, revision],
      );
      if (changed !== 1) return false;
      for (const [device, { command, sealed, undo }] of commands) {
        await query(
          'UPDATE wherry_members SET command = ?, sealed = ?, undo_command = ? WHERE fleet = ? AND rollout = ? AND device = ?',
          [command, sealed ?? null, undo ?? null, this.#fleet, id, device],
        );
      }
      return true;
    });
  }

  /** Stores the answers of devices. The first answer of a device stays. */
  async saveAnswers(id: string, answers: readonly NewAnswer[]): Promise<void> {
    await this.#sql.transaction(async (query) => {
      for (const { device, undo, answer } of answers) {
        const prefix = undo ? 'undo_' : '';
        await query(
          `UPDATE wherry_members SET ${prefix}answer = ?, ${prefix}code = ?, ${prefix}message = ?, ${prefix}answered = ?
           WHERE fleet = ? AND rollout = ? AND device = ? AND ${prefix}answer IS NULL`,
          [...answerValues(answer), this.#fleet, id, device],
        );
      }
    });
  }

  async close(): Promise<void> {
    await this.#sql.close();
  }

  async #row(query: Query, id: string): Promise<Row | undefined> {
    const { rows } = await query('SELECT * FROM wherry_rollouts WHERE fleet = ? AND id = ?', [
      this.#fleet,
      id,
    ]);
    return rows[0];
  }

  async #commands(
    query: Query,
    id: string,
    devices: readonly string[],
    undo: boolean,
  ): Promise<ReadonlyMap<string, StoredCommand>> {
    const columns = undo ? 'undo_command AS envelope' : 'command AS envelope, sealed';
    const found = new Map<string, StoredCommand>();
    for (const device of devices) {
      const { rows } = await query(
        `SELECT ${columns} FROM wherry_members WHERE fleet = ? AND rollout = ? AND device = ?`,
        [this.#fleet, id, device],
      );
      const [row] = rows;
      if (row === undefined || row['envelope'] === null) continue;
      const sealed = (row['sealed'] ?? null) === null ? {} : { sealed: bytesOf(row, 'sealed') };
      found.set(device, { envelope: bytesOf(row, 'envelope'), ...sealed });
    }
    return found;
  }

  /** Two rollouts that are not over would give the same version to different commands. */
  async #requireNew(query: Query, id: string, devices: readonly string[]): Promise<void> {
    if ((await this.#row(query, id)) !== undefined)
      throw new Refusal('input-invalid', `there is a rollout ${id} already; give another --id`);
    const marks = openPhases.map(() => '?').join(', ');
    const { rows } = await query(
      `SELECT m.device, m.rollout, r.phase FROM wherry_members m
        JOIN wherry_rollouts r ON r.fleet = m.fleet AND r.id = m.rollout
        WHERE m.fleet = ? AND r.phase IN (${marks})`,
      [this.#fleet, ...openPhases],
    );
    const wanted = new Set(devices);
    requireNone(rows.find((row) => wanted.has(textOf(row, 'device'))));
  }

  /** The devices of a rollout, or those that it touched, are in no other one that is not over. */
  async #requireFree(query: Query, id: string, ifTouched: boolean): Promise<void> {
    const marks = openPhases.map(() => '?').join(', ');
    const { rows } = await query(
      `SELECT m.device, m.rollout, r.phase FROM wherry_rollouts r
        JOIN wherry_members own ON own.fleet = r.fleet AND own.rollout = ?
        JOIN wherry_members m ON m.fleet = r.fleet AND m.rollout = r.id AND m.device = own.device
        WHERE r.fleet = ? AND r.id <> ? AND r.phase IN (${marks})
          ${ifTouched ? 'AND own.sent IS NOT NULL' : ''} LIMIT 1`,
      [id, this.#fleet, id, ...openPhases],
    );
    requireNone(rows[0]);
  }
}

/** @param taken a device, and the rollout that is not over in which it is */
function requireNone(taken: Row | undefined): void {
  if (taken === undefined) return;
  const other = textOf(taken, 'rollout');
  const phase = textOf(taken, 'phase');
  // One that nobody has completed the signatures of cannot be halted.
  const advice =
    phase === 'signing'
      ? `give that one up first: wherry rollout undo ${other}`
      : `halt that one first: wherry rollout halt ${other}`;
  throw new Refusal(
    'input-invalid',
    `${textOf(taken, 'device')} is in the rollout ${other}, which is ${phase}; ${advice}`,
  );
}

/** An ID that no rollout can have may be empty or hold control characters. */
function quoted(id: string): string {
  return isAcName(id) ? id : JSON.stringify(id);
}
