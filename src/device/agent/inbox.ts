import { createHash } from 'node:crypto';
import type { TargetGroup } from '../deploy/index.ts';

/** The state of the messages on the topic of one target. */
export interface Slot {
  readonly group: TargetGroup;
  /** The newest message that is not judged yet. */
  waiting: Uint8Array | undefined;
  /** Digest of the last message that was judged. */
  lastDigest: string;
  /** Digest of the last one that was refused without an examination. */
  lastMalformed: string;
  /** The message that could not be judged, and how many times. */
  unjudged: { readonly digest: string; readonly failures: number } | undefined;
}

/**
 * Messages on the topics of commands, with one slot for each target: a message on one topic never
 * replaces one of another. The device's own slot is first, then its groups in order.
 */
export class Inbox {
  readonly #slots: readonly Slot[];

  constructor(groups: readonly string[]) {
    this.#slots = [undefined, ...groups].map((group) => ({
      group,
      waiting: undefined,
      lastDigest: '',
      lastMalformed: '',
      unjudged: undefined,
    }));
  }

  /** Undefined for a group that the device is not in. */
  slot(group: TargetGroup): Slot | undefined {
    return this.#slots.find((one) => one.group === group);
  }

  /** Takes the newest message of the first target that has one. */
  take(): { readonly slot: Slot; readonly message: Uint8Array } | undefined {
    const slot = this.#slots.find(({ waiting }) => waiting !== undefined);
    const message = slot?.waiting;
    if (slot === undefined || message === undefined) return undefined;
    slot.waiting = undefined;
    return { slot, message };
  }

  /** Has messages that were judged before judged again when they come again. */
  forgetJudgement(): void {
    for (const slot of this.#slots) slot.lastDigest = '';
  }

  /** Drops the waiting messages. */
  clear(): void {
    for (const slot of this.#slots) slot.waiting = undefined;
  }
}

export function digestOf(message: Uint8Array): string {
  return createHash('sha256').update(message).digest('hex');
}

/** Enough of a digest to follow one message through the journal. */
export function shortDigest(digest: string): string {
  return digest.slice(0, 12);
}
