import { createHash } from 'node:crypto';
import { Refusal } from '../../core/refusal/index.ts';

/** The faults of simulated devices. */
const faultKinds = {
  slow: 'each phase of a deployment takes twenty times as long',
  flapping: 'its connection is cut again and again',
  failing: 'no deployment survives its probation',
  clock: 'it is 1970 there, and the clock is not to be trusted',
  power: 'the power is cut in the middle of each deployment',
  away: 'it never connects',
} as const;

export type FaultKind = keyof typeof faultKinds;

/** Shares of the fleet, in percent. */
export type Faults = ReadonlyMap<FaultKind, number>;

/**
 * Reads `slow=5%`. @throws Refusal `usage`
 */
export function parseFaults(texts: readonly string[]): Faults {
  const faults = new Map<FaultKind, number>();
  for (const text of texts) {
    const [, kind = '', share = ''] = /^([a-z]+)=(\d{1,3}(?:\.\d)?)%$/.exec(text) ?? [];
    if (!isFaultKind(kind) || Number(share) > 100) {
      const kinds = Object.keys(faultKinds).join(', ');
      throw new Refusal(
        'usage',
        `${JSON.stringify(text)} is not a fault; write slow=5%, with one of ${kinds}`,
      );
    }
    faults.set(kind, Number(share));
  }
  return faults;
}

const isFaultKind = (text: string): text is FaultKind => Object.hasOwn(faultKinds, text);

/**
 * The faults of a device: the same ones in each run with the same seed. A device may have several.
 */
export function faultsOf(faults: Faults, seed: string, device: string): ReadonlySet<FaultKind> {
  const own = new Set<FaultKind>();
  for (const [kind, percent] of faults) if (100 * fractionOf(seed, kind, device) < percent) own.add(kind);
  return own;
}

/** A number in [0, 1) that depends only on these words. */
export function fractionOf(...words: readonly string[]): number {
  return createHash('sha256').update(words.join('\n')).digest().readUInt32BE(0) / 2 ** 32;
}
