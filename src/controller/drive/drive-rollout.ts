import type { Clock } from '../../core/ports/index.ts';
import { isRefusal } from '../../core/refusal/index.ts';
import type { FleetDirectory, FleetLink } from '../../operator/fleet/index.ts';
import {
  DatabaseLost,
  type Decision,
  type NewAnswer,
  type RolloutStore,
  type StoredCommand,
} from '../database/index.ts';
import {
  type Answer,
  isCommandedOtherwise,
  isTouched,
  planWave,
  type Member,
  type Rollout,
  type Seen,
  type WavePlan,
  withoutFuture,
} from '../rollout/index.ts';
import { Deliveries } from './deliveries.ts';
import { handOver, handOverLost } from './hand-over.ts';
import { seenOf } from './seen.ts';

export interface DriveMeans {
  readonly fleet: FleetDirectory;
  readonly link: FleetLink;
  readonly store: RolloutStore;
  readonly clock: Clock;
}

export interface DriveOptions {
  readonly signal: AbortSignal;
  /** Called for each step, with the data on which it is based. */
  readonly onStep?: (rollout: Rollout, seen: ReadonlyMap<string, Seen>, plan: WavePlan) => void;
  /** Called with a sentence about a loss of broker or database; without one when it is back. */
  readonly onTrouble?: (problem?: string) => void;
}

/** How many commands are marked and published before the answers are read again. */
const batchSize = 200;
/** How often the database is polled for decisions of others. */
const pollMs = 1_000;
/** How often the commands of silent devices are read back from the broker. */
const repairMs = 60_000;
/** The pause after a temporary failure. */
const retryMs = 2_000;
/** Planning takes at most this share of the time: 1 / 20. */
const idleShare = 19;

/**
 * Carries out a rollout until it is over or halted. The process may be killed at any point, and
 * several may run at once: each decision is a function of the database and of the reports of
 * devices, and is stored in the database before it is carried out.
 * @returns the rollout as it ended; as it is when `signal` aborts
 * @throws Refusal `not-found`, `broker-refused`, `database-unavailable` when this process can no
 *   longer use the database
 */
export async function driveRollout(means: DriveMeans, id: string, options: DriveOptions): Promise<Rollout> {
  const driver = new RolloutDriver(means, id, options);
  return await driver.run();
}

class RolloutDriver {
  readonly #means: DriveMeans;
  readonly #id: string;
  readonly #options: DriveOptions;
  readonly #seen = new Map<string, Seen>();
  readonly #dirty = new Set<string>();
  readonly #deliveries = new Deliveries();
  #members = new Map<string, Member>();
  #rollout: Rollout | undefined;
  #revision = 0;
  #mustLoad = true;
  #polledMs = -Infinity;
  #repairedMs = -Infinity;
  #followedUpMs = -Infinity;
  /** What is wrong, by the part that finds out when it is over. */
  readonly #problems = new Map<'broker' | 'pass', string>();
  #wake: () => void = () => undefined;

  constructor(means: DriveMeans, id: string, options: DriveOptions) {
    this.#means = means;
    this.#id = id;
    this.#options = options;
  }

  async run(): Promise<Rollout> {
    const { link, clock } = this.#means;
    const ended = new AbortController();
    const signal = AbortSignal.any([this.#options.signal, ended.signal]);
    const { rollout } = await this.#means.store.load(this.#id);
    const devices = rollout.members.map(({ device }) => device);
    link.onChange((view) => {
      if (ended.signal.aborted) return;
      this.#deliveries.saw(view, clock.monotonicMs());
      if (this.#members.has(view.device)) this.#note(view.device);
    });
    await link.listen(devices);
    let refused: unknown;
    const connected = link
      .keepConnected(signal, (loss) => {
        const problem = loss === undefined ? undefined : `the broker is gone (${loss.message}); trying again`;
        this.#trouble('broker', problem);
        // The broker may have lost messages, and devices may have answered meanwhile.
        if (loss === undefined) {
          this.#repairedMs = -Infinity;
          this.#deliveries.returned(clock.monotonicMs());
        }
        this.#wake();
      })
      .catch((error: unknown) => {
        refused = error;
        this.#wake();
      });
    const stop = () => this.#wake();
    signal.addEventListener('abort', stop, { once: true });
    try {
      for (;;) {
        if (signal.aborted) return this.#rollout ?? rollout;
        if (refused !== undefined) throw refused as Error;
        const startedMs = clock.monotonicMs();
        const waitMs = await this.#passOrTrouble();
        if (waitMs === 'over') return this.#rollout ?? rollout;
        await this.#pause(waitMs, (clock.monotonicMs() - startedMs) * idleShare, signal);
      }
    } finally {
      ended.abort();
      signal.removeEventListener('abort', stop);
      await connected;
    }
  }

  /** One pass. A temporary failure is reported, and the pass is repeated. */
  async #passOrTrouble(): Promise<number | 'over'> {
    try {
      const waitMs = await this.#pass();
      this.#trouble('pass');
      return waitMs;
    } catch (error) {
      const mayPass = isRefusal(error, 'database-unavailable', 'broker-unreachable');
      if (!mayPass || error instanceof DatabaseLost) throw error;
      this.#trouble('pass', `${error.message}; the rollout goes on when it is back`);
      this.#mustLoad = true;
      // A mark that a lost database has committed may have no command on the broker.
      this.#repairedMs = -Infinity;
      return retryMs;
    }
  }

  /** @returns how long to wait unless a device sends a message */
  async #pass(): Promise<number | 'over'> {
    const { clock } = this.#means;
    await this.#refresh();
    const rollout = this.#require();
    await this.#saveAnswers(rollout);
    await this.#repair();
    await this.#followUp();
    const nowMs = clock.nowMs();
    const ahead = this.#require().members.flatMap((member) => {
      const change = withoutFuture(member, nowMs);
      return change === undefined ? [] : [[member.device, change] as const];
    });
    if (ahead.length > 0) this.#change(ahead);
    const plan = planWave(this.#require(), this.#seen, nowMs);
    this.#options.onStep?.(this.#require(), this.#seen, plan);
    switch (plan.do) {
      case 'send':
        await this.#send(plan.members.slice(0, batchSize), plan.undo, nowMs);
        return 0;
      case 'halt':
        await this.#decide({ phase: 'halted', reason: plan.reason });
        return 0;
      case 'finish': {
        const { phase, reason } = plan;
        await this.#decide(reason === undefined ? { phase } : { phase, reason });
        return 0;
      }
      case 'wait':
        if (plan.for === 'a person' && rollout.phase !== 'paused') return 'over';
        return Math.min(pollMs, (plan.untilMs ?? Infinity) - nowMs);
    }
  }

  /** The rollout is loaded again afterwards: another process may have been faster. */
  async #decide(decision: Decision): Promise<void> {
    await this.#means.store.decide(this.#id, this.#revision, decision);
    this.#mustLoad = true;
  }

  /** Loads the rollout when another process may have changed it. */
  async #refresh(): Promise<void> {
    const { store, clock } = this.#means;
    const nowMs = clock.monotonicMs();
    if (!this.#mustLoad && nowMs - this.#polledMs >= pollMs) {
      this.#polledMs = nowMs;
      this.#mustLoad = (await store.revision(this.#id)) !== this.#revision;
    }
    if (!this.#mustLoad) return;
    const { rollout, revision } = await store.load(this.#id);
    this.#mustLoad = false;
    this.#revision = revision;
    this.#take(rollout);
    for (const { device } of rollout.members) this.#dirty.add(device);
  }

  #take(rollout: Rollout): void {
    this.#rollout = rollout;
    this.#members = new Map(rollout.members.map((member) => [member.device, member]));
  }

  #require(): Rollout {
    if (this.#rollout === undefined) throw new Error('nothing was loaded');
    return this.#rollout;
  }

  /** Stores what devices have answered since the last pass. */
  async #saveAnswers(rollout: Rollout): Promise<void> {
    if (this.#dirty.size === 0) return;
    const { store, link, fleet, clock } = this.#means;
    const devices = [...this.#dirty];
    // Messages from now on are for the next pass; after a failure all devices are checked again.
    this.#dirty.clear();
    const undo = rollout.phase === 'undoing' || rollout.phase === 'undone';
    const answers: NewAnswer[] = [];
    for (const device of devices) {
      const member = this.#members.get(device);
      const seen = member === undefined ? undefined : seenOf(link.view(device), member);
      if (member === undefined || seen === undefined) continue;
      this.#seen.set(device, seen);
      const answer = newAnswer(member, seen, undo);
      if (answer !== undefined) answers.push({ device, undo, answer: { ...answer, atMs: clock.nowMs() } });
    }
    if (answers.length > 0) {
      await store.saveAnswers(this.#id, answers);
      this.#change(answers.map(({ device, answer }) => [device, undo ? { undoAnswer: answer } : { answer }]));
      for (const { device, answer } of answers) {
        const member = this.#members.get(device);
        const version = undo ? member?.undoVersion : member?.version;
        if (version === undefined) continue;
        const outcome = answer.phase === 'left' ? 'superseded' : answer.phase;
        await fleet.recordOutcome(device, version, outcome).catch((error: unknown) => {
          // It was published by a controller with another copy of the fleet directory.
          if (!isRefusal(error, 'not-found')) throw error;
        });
      }
    }
  }

  /**
   * Publishes commands that are marked as sent and lost: a controller died, or the broker lost
   * them.
   */
  async #repair(): Promise<void> {
    const { clock } = this.#means;
    if (clock.monotonicMs() - this.#repairedMs < repairMs || !this.#isSending()) return;
    const behind = this.#silent().filter(({ isBehind }) => isBehind);
    await this.#publishAgain(
      behind.map(({ member }) => member),
      handOverLost,
    );
    this.#repairedMs = clock.monotonicMs();
  }

  /**
   * Publishes again for devices that may not have received their command, or whose answer was
   * missed.
   */
  async #followUp(): Promise<void> {
    const nowMs = this.#means.clock.monotonicMs();
    if (nowMs - this.#followedUpMs < pollMs || !this.#isSending()) return;
    this.#followedUpMs = nowMs;
    const silent = this.#silent();
    const due = this.#deliveries.due(
      silent.map(({ member: { device }, isBehind }) => ({ device, isBehind })),
      nowMs,
    );
    const members = silent.flatMap(({ member }) => (due.has(member.device) ? [member] : []));
    await this.#publishAgain(members, handOver);
    if (this.#deliveries.isDeaf(nowMs)) await this.#means.link.renew();
  }

  async #publishAgain(members: readonly Member[], publish: typeof handOver): Promise<void> {
    const undo = this.#require().phase === 'undoing';
    for (let first = 0; first < members.length; first += batchSize) {
      const batch = members.slice(first, first + batchSize);
      const devices = batch.map(({ device }) => device);
      const commands = await this.#means.store.commands(this.#id, devices, undo);
      await this.#leave(await publish(this.#means, handovers(batch, commands, undo)), undo);
    }
  }

  #isSending(): boolean {
    const { phase } = this.#require();
    return phase === 'running' || phase === 'undoing';
  }

  /** Members to which the command of this phase was sent and that have not answered. */
  #silent(): readonly { readonly member: Member; readonly isBehind: boolean }[] {
    const { phase, members } = this.#require();
    return members.flatMap((member) => {
      const [version, sentAtMs, answer] =
        phase === 'undoing'
          ? [member.undoVersion ?? 0, member.undoSentAtMs, member.undoAnswer]
          : [member.version, member.sentAtMs, member.answer];
      if (sentAtMs === undefined || answer !== undefined) return [];
      const trusted = this.#seen.get(member.device)?.trustedVersion ?? 0;
      return [{ member, isBehind: trusted < version }];
    });
  }

  async #send(members: readonly Member[], undo: boolean, atMs: number): Promise<void> {
    const devices = members.map(({ device }) => device);
    const commands = await this.#means.store.markSent(this.#id, this.#revision, devices, { undo, atMs });
    if (commands === undefined) {
      // Another process changed the rollout meanwhile.
      this.#mustLoad = true;
      return;
    }
    this.#revision += 1;
    this.#change(devices.map((device) => [device, undo ? { undoSentAtMs: atMs } : { sentAtMs: atMs }]));
    await this.#leave(await handOver(this.#means, handovers(members, commands, undo)), undo);
    const nowMs = this.#means.clock.monotonicMs();
    for (const device of devices) this.#deliveries.published(device, nowMs);
  }

  /** Marks devices as left whose version another command has used meanwhile. */
  async #leave(devices: readonly string[], undo: boolean): Promise<void> {
    if (devices.length === 0) return;
    const message = 'another command with the same version was published from this fleet directory';
    const answer = { phase: 'left', code: 'superseded', message, atMs: this.#means.clock.nowMs() } as const;
    await this.#means.store.saveAnswers(
      this.#id,
      devices.map((device) => ({ device, undo, answer })),
    );
    this.#change(devices.map((device) => [device, undo ? { undoAnswer: answer } : { answer }]));
  }

  #change(changes: readonly (readonly [device: string, change: Partial<Member>])[]): void {
    const changed = new Map(changes);
    const rollout = this.#require();
    const members = rollout.members.map((member) => {
      const change = changed.get(member.device);
      return change === undefined ? member : { ...member, ...change };
    });
    this.#take({ ...rollout, members });
  }

  #note(device: string): void {
    this.#dirty.add(device);
    this.#wake();
  }

  /** Reports a problem once, and its end when nothing is wrong any more. */
  #trouble(of: 'broker' | 'pass', problem?: string): void {
    if (problem === this.#problems.get(of)) return;
    if (problem === undefined) this.#problems.delete(of);
    else this.#problems.set(of, problem);
    if (problem !== undefined || this.#problems.size === 0) this.#options.onTrouble?.(problem);
  }

  /** Waits for a message of a device, at most `mostMs` and at least `leastMs`. */
  async #pause(mostMs: number, leastMs: number, signal: AbortSignal): Promise<void> {
    if (mostMs <= 0) return;
    const { clock } = this.#means;
    const sleep = async (ms: number, until: AbortSignal): Promise<void> => {
      await clock.sleep(ms, until).catch(() => undefined);
    };
    await sleep(Math.min(leastMs, mostMs), signal);
    if (this.#dirty.size > 0 || signal.aborted) return;
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await sleep(Math.max(mostMs - leastMs, 1), AbortSignal.any([signal, woken.signal]));
    this.#wake = () => undefined;
  }
}

/** The answer of a device that is not stored yet. */
function newAnswer(member: Member, seen: Seen, undo: boolean): Omit<Answer, 'atMs'> | undefined {
  const { sentAtMs, undoSentAtMs } = member;
  const version = undo ? member.undoVersion : member.version;
  const known = undo ? member.undoAnswer : member.answer;
  // A command that the undo itself superseded is not an answer to the rollout.
  if (version === undefined || known !== undefined || (undo && !isTouched(member))) return undefined;
  if ((undo ? undoSentAtMs : sentAtMs) !== undefined) return seen.answers.get(version);
  if (!isCommandedOtherwise(version, seen)) return undefined;
  return { phase: 'left', code: 'superseded', message: `it has trusted version ${seen.trustedVersion}` };
}

function handovers(members: readonly Member[], commands: ReadonlyMap<string, StoredCommand>, undo: boolean) {
  return members.flatMap(({ device, version, undoVersion }) => {
    const command = commands.get(device);
    const own = undo ? undoVersion : version;
    return command === undefined || own === undefined ? [] : [{ device, version: own, ...command }];
  });
}
