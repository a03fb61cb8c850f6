/** How many devices have been sent the command at the end of a stage; stages are cumulative. */
export type Stage =
  { readonly devices: readonly string[] } | { readonly count: number } | { readonly percent: number } | 'all';

/** When a stage counts as good, and when the rollout halts. */
export interface Rules {
  /** How long a wave must have been good before the next one begins. */
  readonly soakSeconds: number;
  /** The share of a wave that must commit before the next one begins; 0 … 100. */
  readonly successPercent: number;
  /** The share of a wave that may fail; one device more halts the rollout. 0 … 100. */
  readonly errorPercent: number;
  /** A device that does not answer for this long has failed; absent: the rollout waits forever. */
  readonly answerSeconds?: number;
  /** Whether a person must approve each stage after the first. */
  readonly approval: boolean;
}

/**
 * The state of a rollout, set by a person or by the rollout itself. `signing`: its commands wait
 * for signatures of other people, and none was sent.
 */
export type Phase = 'signing' | 'running' | 'paused' | 'halted' | 'complete' | 'undoing' | 'undone';

/** Phases in which commands may still be sent. */
export const openPhases: readonly Phase[] = ['signing', 'running', 'paused', 'undoing'];

/**
 * How a command ended on a device. `left`: another command replaced it, and the device is not
 * counted.
 */
export interface Answer {
  readonly phase: 'committed' | 'rolled-back' | 'refused' | 'left';
  readonly code?: string;
  readonly message?: string;
  /** When the controller saw it: milliseconds since 1970. */
  readonly atMs: number;
}

/** A device in a rollout. */
export interface Member {
  readonly device: string;
  /** Counts from 0; a device is in exactly one wave. */
  readonly wave: number;
  /** The version that ran when the rollout was made; 0 when none. */
  readonly before: number;
  /** The version of its command. */
  readonly version: number;
  /** The version of the command that brings back what it had; absent when it cannot be undone. */
  readonly undoVersion?: number;
  /** When the command was handed to the broker: milliseconds since 1970. */
  readonly sentAtMs?: number;
  readonly answer?: Answer;
  readonly undoSentAtMs?: number;
  readonly undoAnswer?: Answer;
}

export interface Rollout {
  readonly id: string;
  readonly fleet: string;
  /** Seconds since 1970. */
  readonly created: number;
  /** Seconds since 1970: devices refuse the commands from then on. */
  readonly expires: number;
  readonly stages: readonly Stage[];
  readonly rules: Rules;
  readonly phase: Phase;
  /** Why it is in this phase, in words. */
  readonly reason?: string;
  /** How many waves a person has approved; the first needs no approval. */
  readonly approvedWaves: number;
  readonly members: readonly Member[];
}

/** What the messages of a device show. */
export interface Seen {
  /** The highest version that it has trusted. */
  readonly trustedVersion: number;
  /** The version that it runs and has committed. */
  readonly currentVersion: number;
  /** Whether all its pods are healthy. */
  readonly healthy: boolean;
  /** How versions ended, by version: at most those of its last answers. */
  readonly answers: ReadonlyMap<number, Omit<Answer, 'atMs'>>;
}
