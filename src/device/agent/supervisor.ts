import { createHash } from 'node:crypto';
import {
  acceptDesired,
  type DeviceState,
  repairImages,
  runDeployment,
  type StateKeeper,
  Superseded,
  type World,
} from '../deploy/index.ts';
import { diskRefusal, isRefusal, type Refusal, type RefusalCode } from '../../core/refusal/index.ts';
import type { DeploymentReport, DeviceReport } from '../../wire/report/index.ts';
import type { Examined } from '../jobs/examine/index.ts';
import type { DesiredState } from '../../wire/trust/index.ts';
import { type AnswerPorts, Answers } from './answers.ts';
import { examinationBudget, examineAgainInMs, isVerdict, maxExaminations } from './message-policy.ts';

export interface SupervisorPorts extends AnswerPorts {
  readonly keeper: StateKeeper;
  readonly world: World;
  /**
   * Refuses, with the codes of the command class, what can be seen to be no command before it is
   * examined.
   */
  readonly check?: (message: Uint8Array) => void;
  /** Does `work` after `delayMs`, unless wherryd ends before. */
  readonly later?: (delayMs: number, work: () => void) => void;
  /** Judges a message from the broker; refuses with the codes of the command class. */
  readonly examine: (message: Uint8Array, state: DeviceState, signal: AbortSignal) => Promise<Examined>;
  /** A deployment has ended, in whatever way. */
  readonly onRest: () => void;
  /** A desired state was accepted: its policy holds from now on. */
  readonly onAccepted: (desired: DesiredState) => void;
}

/**
 * Takes messages one at a time, decides whether they are commands, and runs at most one deployment.
 * A newer command supersedes the one under way; a message that arrives while another is examined
 * replaces any that waits.
 */
export class Supervisor {
  private readonly examinations = examinationBudget();
  private readonly answers: Answers;
  private lastMalformed = '';
  /** The message that could not be judged, or not be obeyed, for reasons that are this device's. */
  private unjudged: { readonly digest: string; readonly failures: number } | undefined;
  private readonly ports: SupervisorPorts;
  private waiting: Uint8Array | undefined;
  private handling: Promise<void> | undefined;
  private lastDigest = '';
  /**
   * An image could not be replaced: the command is judged once more when it is told again, at the
   * next connection.
   */
  private repairAgain = false;
  private running: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;
  private readonly stopping = new AbortController();

  constructor(ports: SupervisorPorts) {
    this.ports = ports;
    this.answers = new Answers(ports, ports.keeper.state.last);
  }

  /** The deployment under way, or else the one that ended last. */
  get deployment(): DeploymentReport | undefined {
    return this.answers.deployment;
  }

  /** The last message that did not become a deployment. */
  get refused(): DeviceReport['refused'] {
    return this.answers.refused;
  }

  /** Whether a deployment or a repair is under way: its parts must not be collected. */
  get busy(): boolean {
    return this.running !== undefined || this.handling !== undefined;
  }

  /** Resolves when nothing is under way. */
  async rest(): Promise<void> {
    while (this.busy) await (this.running?.done ?? this.handling);
  }

  /** Takes up a deployment that the last run of wherryd left pending. */
  resume(): void {
    if (this.ports.keeper.state.pending !== undefined) this.run();
  }

  /** Takes a message that came on the topic of commands. */
  receive(message: Uint8Array): void {
    if (this.stopping.signal.aborted) return; // the broker tells it again at the next start
    if (!this.isWellFormed(message)) return; // and never takes the place of one that may be a command
    this.waiting = message;
    this.handling ??= this.handleWaiting().finally(() => (this.handling = undefined));
  }

  /**
   * What was judged before is judged again when it comes again: another root of trust says who may
   * command.
   */
  forgetJudgement(): void {
    this.lastDigest = '';
  }

  /** Reports a message that was refused; `version` is 0 when it is not known. */
  refuse(code: RefusalCode, reason: string, version = 0): void {
    this.answers.refuse(code, reason, version);
  }

  /**
   * Stops working; a deployment under way stays pending, a message that is examined is forgotten.
   * Pods run on.
   */
  async close(): Promise<void> {
    this.waiting = undefined;
    const reason = new Error('wherryd is stopping');
    this.stopping.abort(reason);
    this.running?.abort.abort(reason);
    await this.handling;
    await this.running?.done;
  }

  private async handleWaiting(): Promise<void> {
    for (let message = this.takeWaiting(); message !== undefined; message = this.takeWaiting()) {
      // A broker tells the retained message again at every connection: what was judged once is not
      // judged again.
      const digest = digestOf(message);
      if (digest === this.lastDigest && !this.repairAgain) {
        this.debug(`message ${shortDigest(digest)} skipped: it is the last one that was judged`);
        continue;
      }
      const waitMs = this.examinations.take(this.ports.clock.nowMs());
      if (waitMs > 0) {
        this.debug(`message ${shortDigest(digest)} waits ${waitMs} ms: too many examinations`);
        await this.ports.clock.sleep(waitMs, this.stopping.signal).catch(() => undefined);
        if (this.stopping.signal.aborted) return;
        this.waiting ??= message;
        continue;
      }
      try {
        await this.handle(message);
        this.lastDigest = digest;
        this.unjudged = undefined;
      } catch (error) {
        if (this.stopping.signal.aborted) return;
        this.failed(message, digest, error);
      }
    }
  }

  private isWellFormed(message: Uint8Array): boolean {
    try {
      this.ports.check?.(message);
      return true;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const digest = digestOf(message);
      if (digest !== this.lastMalformed) this.refuse(error.code, error.message);
      this.lastMalformed = digest;
      return false;
    }
  }

  private failed(message: Uint8Array, digest: string, error: unknown): void {
    const { refusal, version } =
      error instanceof NotObeyed ? error : { refusal: asRefusal(error), version: 0 };
    if (refusal === undefined) {
      // A message that breaks the examiner must not break it again at every restart: it is answered
      // and forgotten.
      this.lastDigest = digest;
      this.ports.journal.log('error', `an examination failed unexpectedly: ${describe(error)}`, {
        WHERRY_CODE: 'internal',
      });
      this.refuse('internal', `the message could not be examined: ${String(error)}`);
      return;
    }
    if (!isVerdict(refusal)) {
      this.examineLater(message, digest, refusal, version);
      return;
    }
    this.unjudged = undefined;
    // Time may cure an expiry or a key that is not valid yet; nothing else changes by being sent
    // again.
    if (refusal.code !== 'expired' && refusal.code !== 'key-unusable') this.lastDigest = digest;
    this.refuse(refusal.code, refusal.message);
  }

  /**
   * Answers once for a message that could not be judged or obeyed, and tries again a few times,
   * later each time.
   */
  private examineLater(message: Uint8Array, digest: string, refusal: Refusal, version: number): void {
    const isKnown = this.unjudged?.digest === digest;
    const failures = isKnown ? (this.unjudged?.failures ?? 0) + 1 : 1;
    this.unjudged = { digest, failures };
    if (!isKnown) this.refuse(refusal.code, refusal.message, version);
    this.debug(
      `message ${shortDigest(digest)}: examination ${failures} of ${maxExaminations} failed (${refusal.code})`,
    );
    if (failures >= maxExaminations) return;
    this.ports.later?.(examineAgainInMs(failures), () => {
      // Another message has come meanwhile, or this one was sent again: then that is what counts.
      if (this.unjudged?.digest === digest && this.unjudged.failures === failures) this.receive(message);
    });
  }

  private takeWaiting(): Uint8Array | undefined {
    const message = this.waiting;
    this.waiting = undefined;
    return message;
  }

  private async handle(message: Uint8Array): Promise<void> {
    const { keeper, journal } = this.ports;
    const { signal } = this.stopping;
    const examined = await this.ports.examine(message, keeper.state, signal);
    signal.throwIfAborted();
    const { desired } = examined;
    this.debug(`version ${desired.version} examined: ${examined.outcome}`);
    this.answers.forgetRefusal();
    this.ports.onAccepted(desired);
    if (examined.outcome === 'same') {
      this.repair(desired);
      this.ports.onChange();
      return;
    }
    journal.log('notice', `version ${desired.version} accepted, signed by ${examined.signedBy.join(', ')}`, {
      WHERRY_VERSION: desired.version,
    });
    this.running?.abort.abort(new Superseded(desired.version));
    await this.running?.done;
    // Now, not before: the superseded deployment has to end as its own state says.
    const next = acceptDesired(keeper.state, desired, examined.payloadSha256, examined.era);
    await keeper.save(next).catch((error: unknown) => {
      const refusal = diskRefusal(error, `version ${desired.version} cannot be saved`);
      throw refusal === undefined ? error : new NotObeyed(refusal, desired.version);
    });
    this.examinations.refund();
    this.run();
  }

  private run(): void {
    const { keeper, world, clock, journal } = this.ports;
    this.inBackground(async (signal) => {
      try {
        await runDeployment(keeper, world, (report) => this.answers.observe(report), signal, clock);
      } catch (error) {
        journal.log('error', `a deployment failed unexpectedly: ${describe(error)}`, {
          WHERRY_CODE: 'internal',
        });
      }
    });
  }

  /**
   * The command that was told again says where the images of the running version are: those that
   * were damaged are replaced.
   */
  private repair(desired: DesiredState): void {
    if (this.running !== undefined) return;
    this.repairAgain = false;
    const { keeper, world, clock, journal } = this.ports;
    this.inBackground(async (signal) => {
      try {
        const names = await repairImages(desired, keeper, world, signal, clock);
        if (names.length > 0) journal.log('notice', `pulled again because damaged: ${names.join(', ')}`);
      } catch (error) {
        this.repairAgain = true;
        if (signal.aborted) return;
        const code = isRefusal(error) ? error.code : 'internal';
        journal.log('error', `a damaged image could not be replaced: ${String(error)}`, {
          WHERRY_CODE: code,
        });
      }
    });
  }

  /** At most one thing is done at a time; a newer command or the end of the daemon aborts it. */
  private inBackground(work: (signal: AbortSignal) => Promise<void>): void {
    const abort = new AbortController();
    const done = work(abort.signal).finally(() => {
      if (this.running?.abort === abort) this.running = undefined;
      this.ports.onChange();
      this.ports.onRest();
    });
    this.running = { abort, done };
  }

  private debug(text: string): void {
    this.ports.journal.log('debug', text);
  }
}

/** A command was accepted and could not be taken up. */
class NotObeyed extends Error {
  readonly refusal: Refusal;
  readonly version: number;

  constructor(refusal: Refusal, version: number) {
    super(refusal.message, { cause: refusal });
    this.refusal = refusal;
    this.version = version;
  }
}

/** Errors of the operating system get a code; undefined for a mistake in the program. */
function asRefusal(error: unknown): Refusal | undefined {
  return isRefusal(error) ? error : diskRefusal(error, 'the message cannot be examined');
}

function digestOf(message: Uint8Array): string {
  return createHash('sha256').update(message).digest('hex');
}

/** Enough of a digest to follow one message through the journal. */
function shortDigest(digest: string): string {
  return digest.slice(0, 12);
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
