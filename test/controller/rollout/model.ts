import {
  planWave,
  wavesOf,
  type Answer,
  type Member,
  type Rollout,
  type Rules,
  type Seen,
  type Stage,
} from '../../../src/controller/rollout/index.ts';

/** How a device of the model treats a command. */
export type Fate = 'commit' | 'fail' | 'silent';

export const rules: Rules = { soakSeconds: 0, successPercent: 100, errorPercent: 0, approval: false };

/** A rollout of `count` devices; each runs version 3 and is to run version 4, or 5 when undone. */
export function rolloutOf(count: number, stages: readonly Stage[], changes: Partial<Rollout> = {}): Rollout {
  const id = changes.id ?? 'r-1';
  const names = Array.from({ length: count }, (_, index) => `crane-${index}`);
  const members = wavesOf(id, names, stages).flatMap((devices, wave) =>
    devices.map((device): Member => ({ device, wave, before: 3, version: 4, undoVersion: 5 })),
  );
  return {
    id,
    fleet: 'harbour',
    created: 1,
    expires: 1_000_000,
    stages,
    rules,
    phase: 'running',
    approvedWaves: 0,
    members,
    ...changes,
  };
}

/**
 * A fleet, a broker that retains, a database, and a controller that can be killed after each deed.
 * The database is `rollout`; what only the controller knew is lost with it.
 */
export class RolloutModel {
  rollout: Rollout;
  nowMs = 0;
  /** By device: the version that runs, and the highest that was trusted. */
  readonly running = new Map<string, number>();
  readonly trusted = new Map<string, number>();
  readonly answers = new Map<string, Map<number, Omit<Answer, 'atMs'>>>();
  /** By device: the version that the broker retains. */
  readonly retained = new Map<string, number>();
  readonly #fates: ReadonlyMap<string, Fate>;

  constructor(rollout: Rollout, fates: ReadonlyMap<string, Fate>) {
    this.rollout = rollout;
    this.#fates = fates;
    for (const { device, before } of rollout.members) {
      this.running.set(device, before);
      this.trusted.set(device, before);
      this.answers.set(device, new Map());
    }
  }

  seen(): Map<string, Seen> {
    return new Map(
      this.rollout.members.map(({ device }) => [
        device,
        {
          trustedVersion: this.trusted.get(device) ?? 0,
          currentVersion: this.running.get(device) ?? 0,
          healthy: true,
          answers: this.answers.get(device) ?? new Map<number, Answer>(),
        },
      ]),
    );
  }

  plan() {
    return planWave(this.rollout, this.seen(), this.nowMs);
  }

  /** Devices that a command of the rollout has reached or may yet reach. */
  out(): string[] {
    return this.rollout.members.flatMap(({ device }) =>
      (this.retained.get(device) ?? 0) >= 4 ? [device] : [],
    );
  }

  /**
   * One step of a controller.
   * @param dies between the mark in the database and the broker
   */
  step(dies = false): ReturnType<RolloutModel['plan']> {
    const plan = this.plan();
    if (plan.do === 'halt') this.rollout = { ...this.rollout, phase: 'halted', reason: plan.reason };
    if (plan.do === 'finish') this.rollout = { ...this.rollout, phase: plan.phase };
    if (plan.do !== 'send') return plan;
    const marked = new Set(plan.members.map(({ device }) => device));
    const mark = plan.undo ? { undoSentAtMs: this.nowMs } : { sentAtMs: this.nowMs };
    this.rollout = {
      ...this.rollout,
      members: this.rollout.members.map((member) =>
        marked.has(member.device) ? { ...member, ...mark } : member,
      ),
    };
    if (!dies) this.repair();
    return plan;
  }

  /** The first step of every controller: publishes every marked command to the broker. */
  repair(): void {
    for (const { device, version, undoVersion, sentAtMs, undoSentAtMs } of this.rollout.members) {
      const wanted = undoSentAtMs !== undefined ? undoVersion : sentAtMs !== undefined ? version : undefined;
      if (wanted !== undefined) this.retained.set(device, wanted);
    }
  }

  /** The device receives what the broker retains, and answers as its fate says. */
  deliver(device: string): void {
    const version = this.retained.get(device);
    if (version === undefined || version <= (this.trusted.get(device) ?? 0)) return;
    this.trusted.set(device, version);
    const fate = version === 5 ? 'commit' : (this.#fates.get(device) ?? 'commit');
    if (fate === 'silent') return;
    if (fate === 'commit') this.running.set(device, version);
    const answer =
      fate === 'commit'
        ? { phase: 'committed' as const }
        : { phase: 'rolled-back' as const, code: 'probation-failed' };
    this.answers.get(device)?.set(version, answer);
  }
}
