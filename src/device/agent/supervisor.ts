import {
  acceptDesired,
  commands,
  type DeviceState,
  repairVersion,
  runDeployment,
  standAside,
  Superseded,
  targetBefore,
  targetInWords,
  trustDesired,
} from '../deploy/index.ts';
import { isRefusal, type Refusal, type RefusalCode } from '../../core/refusal/index.ts';
import type { DeploymentReport, DeviceReport } from '../../wire/report/index.ts';
import type { Examined } from '../jobs/examine/index.ts';
import { type DesiredState, groupOf } from '../../wire/trust/index.ts';
import { Answers } from './answers.ts';
import { digestOf, Inbox, shortDigest, type Slot } from './inbox.ts';
import { describe, logFailure } from './log-failure.ts';
import {
  examinationBudget,
  examineAgainInMs,
  isOfDisk,
  isVerdict,
  maxExaminations,
  repeatBudget,
} from './message-policy.ts';
import { asRefusal, NotObeyed, orNotObeyed } from './not-obeyed.ts';
import { PodStart } from './pod-start.ts';
import { Rounds } from './rounds.ts';
import type { SupervisorPorts } from './supervisor-ports.ts';
import { Work } from './work.ts';

const startPodsAgainInMs = 10_000;

/**
 * Takes messages one at a time, decides whether they are commands, and runs at most one deployment.
 * A newer command supersedes the one under way. A message that arrives during an examination
 * replaces the waiting one of its target.
 */
export class Supervisor {
  private readonly examinations = examinationBudget();
  private readonly repeats = repeatBudget();
  private readonly answers: Answers;
  private readonly ports: SupervisorPorts;
  private readonly groups: readonly string[];
  private readonly inbox: Inbox;
  private readonly handling = new Rounds(() => this.handleWaiting());
  /**
   * Something damaged could not be replaced: the command is examined again when the broker sends it
   * again, at the next connection.
   */
  private repairAgain = false;
  /** A deployment, a repair or the start of the pods. */
  private readonly work: Work;
  private readonly podStart: PodStart;
  /** Called when a deployment begins to wait. */
  private waitObservers: (() => void)[] = [];
  private readonly stopping = new AbortController();

  constructor(ports: SupervisorPorts) {
    this.ports = ports;
    this.groups = ports.groups ?? [];
    this.inbox = new Inbox(this.groups);
    this.answers = new Answers(ports, ports.keeper.state.last);
    this.work = new Work(() => {
      ports.onChange();
      ports.onRest();
    });
    this.podStart = new PodStart({
      ...{ journal: ports.journal, startPods: ports.startPods },
      retry: () => ports.later?.(startPodsAgainInMs, () => void this.resume()),
    });
  }

  /** The deployment under way, or else the one that ended last. */
  get deployment(): DeploymentReport | undefined {
    return this.answers.deployment;
  }

  /** The last message that did not become a deployment. */
  get refused(): DeviceReport['refused'] {
    return this.answers.refused;
  }

  /**
   * Whether a deployment, a repair or an examination is under way: its objects must not be
   * collected. A deployment that waits for its activation and the start of the pods do not count:
   * they may last for days, the first stages again afterwards, and the second needs no new objects.
   */
  get busy(): boolean {
    const waits = this.answers.deployment?.phase === 'wait' || this.podStart.isUnderWay;
    return (this.work.isUnderWay && !waits) || this.handling.done !== undefined;
  }

  /** Resolves when `busy` is false. */
  async rest(): Promise<void> {
    while (this.busy) {
      const waiting = new Promise<void>((resolve) => this.waitObservers.push(resolve));
      await Promise.race([this.work.done ?? waiting, this.handling.done ?? waiting, waiting]);
    }
  }

  /**
   * Resumes a deployment that the last run of wherryd left pending, or else starts the committed
   * pods.
   *
   * @returns resolves when the committed pods were started as far as possible, or that was aborted
   */
  async resume(): Promise<void> {
    if (this.work.isUnderWay || this.stopping.signal.aborted) return;
    if (this.ports.keeper.state.pending !== undefined) {
      this.run();
      return;
    }
    this.work.begin((signal) => this.podStart.run(signal));
    await this.work.done;
  }

  /** Receives a message on the topic of commands of a group, or of the device itself. */
  receive(message: Uint8Array, group?: string): void {
    const slot = this.inbox.slot(group);
    if (slot === undefined) return; // the session subscribes to no other group
    if (this.stopping.signal.aborted) return; // the broker sends it again at the next start
    if (!this.isWellFormed(message, slot)) return; // it never replaces one that may be a command
    slot.waiting = message;
    this.handling.begin();
  }

  /**
   * Has messages that were judged before judged again when they come again: a new root of trust may
   * allow other keys to command.
   */
  forgetJudgement(): void {
    this.inbox.forgetJudgement();
  }

  /** Reports a message that was refused; `version` is 0 when it is not known. */
  refuse(code: RefusalCode, reason: string, version = 0, group?: string): void {
    this.answers.refuse(code, reason, version, group);
  }

  /**
   * Stops. A deployment under way stays pending, a message under examination is dropped. Pods keep
   * running.
   */
  async close(): Promise<void> {
    this.inbox.clear();
    this.stopping.abort(new Error('wherryd is stopping'));
    void this.work.abort(this.stopping.signal.reason as Error);
    await this.handling.done;
    await this.work.done;
  }

  private async handleWaiting(): Promise<void> {
    for (let next = this.inbox.take(); next !== undefined; next = this.inbox.take()) {
      const { slot, message } = next;
      // A broker sends the retained message again at every connection: it is not judged twice.
      const digest = digestOf(message);
      if (digest === slot.lastDigest && !this.repairAgain) {
        this.debug(`message ${shortDigest(digest)} skipped: it is the last one that was judged`);
        if (slot.group === undefined && this.repeats.take(this.ports.clock.nowMs()) === 0)
          this.ports.onRepeated?.();
        continue;
      }
      const waitMs = this.examinations.take(this.ports.clock.nowMs());
      if (waitMs > 0) {
        this.debug(`message ${shortDigest(digest)} waits ${waitMs} ms: too many examinations`);
        await this.ports.clock.sleep(waitMs, this.stopping.signal).catch(() => undefined);
        if (this.stopping.signal.aborted) return;
        slot.waiting ??= message;
        continue;
      }
      try {
        await this.handle(message, slot);
        slot.lastDigest = digest;
        slot.unjudged = undefined;
      } catch (error) {
        if (this.stopping.signal.aborted) return;
        this.failed(message, slot, digest, error);
      }
    }
  }

  private isWellFormed(message: Uint8Array, slot: Slot): boolean {
    try {
      this.ports.check?.(message);
      return true;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const digest = digestOf(message);
      if (digest !== slot.lastMalformed) this.refuse(error.code, error.message, 0, slot.group);
      slot.lastMalformed = digest;
      return false;
    }
  }

  private failed(message: Uint8Array, slot: Slot, digest: string, error: unknown): void {
    const { refusal, version } =
      error instanceof NotObeyed ? error : { refusal: asRefusal(error), version: 0 };
    if (refusal === undefined) {
      // A message that breaks the examiner must not break it again: it is answered and not examined
      // again.
      slot.lastDigest = digest;
      this.ports.journal.log('error', `an examination failed unexpectedly: ${describe(error)}`, {
        WHERRY_CODE: 'internal',
      });
      this.refuse('internal', `the message could not be examined: ${String(error)}`, 0, slot.group);
      return;
    }
    if (!isVerdict(refusal)) {
      this.examineLater(message, slot, digest, refusal, version);
      return;
    }
    slot.unjudged = undefined;
    // A set clock may cure an expiry or a key that is not valid yet. Any other verdict stays the
    // same.
    if (refusal.code !== 'expired' && refusal.code !== 'key-unusable') slot.lastDigest = digest;
    this.refuse(refusal.code, refusal.message, 0, slot.group);
  }

  /**
   * Answers once for a message that could not be judged or obeyed, and retries with growing delays:
   * a few times, or, because of the disk, until there is room.
   */
  private examineLater(
    message: Uint8Array,
    slot: Slot,
    digest: string,
    refusal: Refusal,
    version: number,
  ): void {
    const isKnown = slot.unjudged?.digest === digest;
    const failures = isKnown ? (slot.unjudged?.failures ?? 0) + 1 : 1;
    slot.unjudged = { digest, failures };
    if (!isKnown) this.refuse(refusal.code, refusal.message, version, slot.group);
    this.debug(`message ${shortDigest(digest)}: examination ${failures} failed (${refusal.code})`);
    if (failures >= maxExaminations && !isOfDisk(refusal)) return;
    this.ports.later?.(examineAgainInMs(failures), () => {
      // Not if another message has come meanwhile, or this one was sent again.
      const isStill = slot.unjudged?.digest === digest && slot.unjudged.failures === failures;
      if (isStill) this.receive(message, slot.group);
    });
  }

  private async handle(message: Uint8Array, { group }: Slot): Promise<void> {
    const { keeper, journal } = this.ports;
    const { signal } = this.stopping;
    const examined = await this.ports.examine(message, keeper.state, signal, group);
    signal.throwIfAborted();
    const { desired } = examined;
    this.debug(`version ${desired.version} examined: ${examined.outcome}`);
    this.answers.forgetRefusal();
    const before = targetBefore(keeper.state, this.groups, group);
    if (examined.outcome === 'outside') {
      await this.standAside(desired, examined, before === undefined);
      return;
    }
    if (before === undefined) this.ports.onAccepted(desired);
    if (examined.outcome === 'same') {
      if (before === undefined) this.repair(desired);
      this.ports.onChange();
      return;
    }
    journal.log(
      'notice',
      `version ${desired.version}${group === undefined ? '' : ` for group ${group}`} accepted, signed by ${examined.signedBy.join(', ')}`,
      {
        WHERRY_VERSION: desired.version,
      },
    );
    if (desired.withdrawn === true) {
      await this.withdraw(desired, examined);
      return;
    }
    if (before !== undefined) {
      await this.trust(desired, examined);
      this.answers.passOver(desired, `a command for ${targetInWords(before.group)} has precedence`);
      return;
    }
    await this.work.abort(new Superseded(desired.version));
    // Only now: the superseded deployment has to end with its own state first.
    const next = acceptDesired(
      keeper.state,
      desired,
      examined.payloadSha256,
      this.acceptanceOf(examined),
      desired.policy.activation?.when === 'next-boot' ? this.ports.bootId : undefined,
    );
    await orNotObeyed(desired, keeper.save(next));
    this.examinations.refund();
    this.run();
  }

  /** Withdraws a target. Its pods keep running until the command of another target comes. */
  private async withdraw(desired: DesiredState, examined: Examined): Promise<void> {
    const { pending } = this.ports.keeper.state;
    const group = groupOf(desired.target);
    if (pending !== undefined && groupOf(pending.desired.target) === group)
      await this.work.abort(new Superseded(desired.version));
    await this.trust(desired, examined);
    this.answers.withdrawn(desired);
    // Commands that were passed over are examined again, and may be deployed now.
    this.inbox.forgetJudgement();
    this.ports.onWithdrawn?.();
  }

  /**
   * Handles a version for other devices of the group. Pods and the deployment under way stay, and
   * no event is sent.
   */
  private async standAside(desired: DesiredState, examined: Examined, isFirst: boolean): Promise<void> {
    const { keeper, onAccepted, onChange, onWithdrawn } = this.ports;
    const { payloadSha256 } = examined;
    const group = groupOf(desired.target);
    const next = (state: DeviceState): DeviceState =>
      standAside(state, desired, payloadSha256, this.acceptanceOf(examined));
    const commanded = commands(keeper.state, group);
    if (next(keeper.state) !== keeper.state) {
      await orNotObeyed(desired, keeper.update(next));
      this.examinations.refund();
      this.answers.standAside(desired);
    }
    const goesOn = commands(keeper.state, group);
    if (isFirst && goesOn) onAccepted(desired);
    if (isFirst && commanded && !goesOn) {
      this.inbox.forgetJudgement();
      onWithdrawn?.();
    }
    onChange();
  }

  /** Saves the version as trusted without deploying it. A deployment may be under way. */
  private async trust(desired: DesiredState, examined: Examined): Promise<void> {
    const acceptance = this.acceptanceOf(examined);
    await orNotObeyed(
      desired,
      this.ports.keeper.update((state) => trustDesired(state, desired, examined.payloadSha256, acceptance)),
    );
    this.examinations.refund();
  }

  private acceptanceOf({ era }: Examined): { readonly era?: number; readonly groups: readonly string[] } {
    return { ...(era === undefined ? {} : { era }), groups: this.groups };
  }

  private run(): void {
    const { keeper, world, clock, journal } = this.ports;
    this.work.begin(async (signal) => {
      try {
        await runDeployment(keeper, world, (report) => this.observe(report), signal, clock);
      } catch (error) {
        logFailure(journal, 'a deployment did not end cleanly', error);
      }
      if (this.podStart.isDue && !signal.aborted) await this.podStart.run(signal);
    });
  }

  /**
   * Replaces damaged images and files of pods. The repeated command contains the addresses of the
   * images and the manifests of the running version.
   */
  private repair(desired: DesiredState): void {
    if (this.work.isUnderWay) {
      // The repeated command comes at the first connection, when pods may still be starting.
      if (this.podStart.isDue) this.work.whenDone(() => this.repair(desired));
      return;
    }
    this.repairAgain = false;
    const { keeper, world, clock, journal } = this.ports;
    this.work.begin(async (signal) => {
      try {
        const names = await repairVersion(desired, keeper, world, signal, clock);
        if (names.length > 0) journal.log('notice', `replaced because damaged: ${names.join(', ')}`);
      } catch (error) {
        this.repairAgain = true;
        if (signal.aborted) return;
        logFailure(journal, 'what is damaged could not be replaced', error);
      }
    });
  }

  private observe(report: DeploymentReport): void {
    this.answers.observe(report);
    if (report.phase === 'wait') for (const tell of this.waitObservers.splice(0)) tell();
  }

  private debug(text: string): void {
    this.ports.journal.log('debug', text);
  }
}
