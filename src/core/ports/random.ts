import { randomBytes } from 'node:crypto';

/** Randomness for jitter and identifiers. */
export interface Random {
  /** Uniform in [0, 1). */
  fraction(): number;
  bytes(length: number): Uint8Array;
}

/** The randomness of this machine. */
export const systemRandom: Random = { fraction: () => Math.random(), bytes: (length) => randomBytes(length) };
