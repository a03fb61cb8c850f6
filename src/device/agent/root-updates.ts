import { createHash } from 'node:crypto';
import type { Clock, Journal } from '../../core/ports/index.ts';
import { diskRefusal, isRefusal, Refusal, type RefusalCode } from '../../core/refusal/index.ts';
import { claimedRootVersion, decodeEnvelope, type RootDocument } from '../../wire/trust/index.ts';
import { acceptRoot, type TrustedRoot } from '../deploy/index.ts';
import { inTurn } from './in-turn.ts';
import { checkEnvelope, examinationBudget, isVerdict } from './message-policy.ts';
import type { RootFile } from './root-files.ts';
import { Rounds } from './rounds.ts';
import type { StateFile } from './state-file.ts';

export interface RootPorts {
  readonly keeper: StateFile;
  readonly clock: Clock;
  readonly journal: Journal;
  /** Reads the roots that were put on the device. Refuses with `config-invalid`. */
  readonly files: () => readonly RootFile[];
  /** Examines a root against the trusted one, or, when it was put on the device, against itself. */
  readonly examine: (
    message: Uint8Array,
    trusted: RootDocument | undefined,
    signal: AbortSignal,
  ) => Promise<{
    readonly outcome: 'new' | 'same';
    readonly root: RootDocument;
    readonly signedBy: readonly string[];
  }>;
  /** A root is trusted and saved. */
  readonly onTrusted: (root: TrustedRoot) => void;
  readonly onRefused: (code: RefusalCode, message: string) => void;
}

/**
 * How long a command waits for a newer root after a connection or a new root: brokers send retained
 * messages at once.
 */
const graceMs = 1000;

/**
 * The root of trust of a device. The first comes from a file, the others from the broker, one
 * version after the other. A newer message replaces the waiting one.
 */
export class RootUpdates {
  readonly #ports: RootPorts;
  readonly #budget = examinationBudget();
  readonly #stopping = new AbortController();
  readonly #looking = inTurn();
  #waiting: { readonly version: number; readonly message: Uint8Array } | undefined;
  readonly #handling = new Rounds(() => this.#handleWaiting());
  #lastDigest = '';
  /** Digests of the files that were read last. */
  #seenFiles = '';
  #fileProblem: Refusal | undefined;
  #graceEndsMs = Number.NEGATIVE_INFINITY;

  constructor(ports: RootPorts) {
    this.#ports = ports;
  }

  get trusted(): TrustedRoot | undefined {
    return this.#ports.keeper.state.root;
  }

  /** Takes a message that came on the topic of root `version`. */
  receive(version: number, message: Uint8Array): void {
    if (this.#stopping.signal.aborted || version !== this.#nextVersion()) return;
    this.#waiting = { version, message };
    this.#handling.begin();
  }

  /** Called at a new connection: a newer root may be about to come. */
  expect(): void {
    if (this.trusted !== undefined) this.#graceEndsMs = this.#ports.clock.monotonicMs() + graceMs;
  }

  /**
   * Resolves when the root is the one to judge a command by: the files are read, and no received
   * root is waiting.
   *
   * @throws {Refusal} `config-invalid` when a root that was put on the device cannot be used, and
   *   none is trusted yet
   */
  async settled(signal: AbortSignal): Promise<void> {
    await this.#looking(() => this.#lookAtFiles(signal));
    for (;;) {
      signal.throwIfAborted();
      const leftMs = this.#graceEndsMs - this.#ports.clock.monotonicMs();
      if (this.#handling.done !== undefined) await this.#handling.done;
      else if (leftMs > 0) await this.#ports.clock.sleep(leftMs, signal);
      else break;
    }
    if (this.trusted === undefined && this.#fileProblem !== undefined) throw this.#fileProblem;
  }

  async close(): Promise<void> {
    this.#waiting = undefined;
    this.#stopping.abort(new Error('wherryd is stopping'));
    await this.#handling.done;
  }

  #nextVersion(): number | undefined {
    return this.trusted === undefined ? undefined : this.trusted.document.version + 1;
  }

  async #handleWaiting(): Promise<void> {
    for (let next = this.#waiting; next !== undefined; next = this.#waiting) {
      this.#waiting = undefined;
      const digest = createHash('sha256').update(next.message).digest('hex');
      if (digest === this.#lastDigest || next.version !== this.#nextVersion()) continue;
      const waitMs = this.#budget.take(this.#ports.clock.monotonicMs());
      if (waitMs > 0) {
        await this.#ports.clock.sleep(waitMs, this.#stopping.signal).catch(() => undefined);
        if (this.#stopping.signal.aborted) return;
        this.#waiting ??= next;
        continue;
      }
      try {
        checkEnvelope(next.message);
        await this.#examine(next.message, this.trusted?.document, this.#stopping.signal);
        this.#budget.refund();
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        const refusal = asRefusal(error);
        // A key that is not valid yet may become valid. What failed for a reason of the device is
        // tried again at the next connection.
        if (isVerdict(refusal) && refusal.code !== 'key-unusable') this.#lastDigest = digest;
        this.#ports.onRefused(refusal.code, `root ${next.version}: ${refusal.message}`);
      }
    }
  }

  /** Examines the roots that were put on the device and are newer than the trusted one. */
  async #lookAtFiles(signal: AbortSignal): Promise<void> {
    try {
      const files = this.#ports.files();
      const seen = files.map(({ bytes }) => createHash('sha256').update(bytes).digest('hex')).join(' ');
      if (seen === this.#seenFiles) return;
      for (const { path, bytes } of files) await this.#takeFile(path, bytes, signal);
      this.#fileProblem = undefined;
      this.#seenFiles = seen;
    } catch (error) {
      signal.throwIfAborted();
      const { code, message } = asRefusal(error);
      // A killed unit is no verdict on the file: it is examined again.
      if (code !== 'config-invalid') throw error;
      if (message !== this.#fileProblem?.message)
        this.#ports.journal.log('error', message, { WHERRY_CODE: 'config-invalid' });
      this.#fileProblem = new Refusal('config-invalid', message, { cause: error });
    }
  }

  async #takeFile(path: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    try {
      const version = claimedRootVersion(decodeEnvelope(bytes).payload);
      if (version !== undefined && version <= (this.trusted?.document.version ?? 0)) return;
      await this.#examine(bytes, undefined, signal);
    } catch (error) {
      if (!isVerdict(error)) throw error;
      const { message, code } = error as Refusal;
      throw new Refusal('config-invalid', `the root ${path} is not used: ${message} (${code})`, {
        cause: error,
      });
    }
  }

  async #examine(message: Uint8Array, trusted: RootDocument | undefined, signal: AbortSignal): Promise<void> {
    const { keeper, journal, clock } = this.#ports;
    const { outcome, root, signedBy } = await this.#ports.examine(message, trusted, signal);
    if (outcome === 'same') return;
    await keeper
      .update((state) => acceptRoot(state, root))
      .catch((error: unknown) => {
        throw diskRefusal(error, `root ${root.version} cannot be saved`) ?? error;
      });
    journal.log('notice', `root ${root.version} is trusted, signed by ${signedBy.join(', ')}`);
    this.#graceEndsMs = clock.monotonicMs() + graceMs;
    if (this.trusted !== undefined) this.#ports.onTrusted(this.trusted);
  }
}

function asRefusal(error: unknown): Refusal {
  if (isRefusal(error)) return error;
  return (
    diskRefusal(error, 'the root cannot be examined') ??
    new Refusal('internal', `the root could not be examined: ${String(error)}`, { cause: error })
  );
}
