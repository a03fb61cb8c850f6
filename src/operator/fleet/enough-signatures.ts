import type { Clock } from '../../core/ports/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { decodeEnvelope, signersOf } from '../../wire/trust/index.ts';
import type { FleetDirectory } from './fleet-directory.ts';
import { newestRoot } from './root-chain.ts';

interface Means {
  readonly fleet: FleetDirectory;
  readonly clock: Clock;
}

/** What to do about a command of a file that too few people have signed. */
const signTheFile =
  'sign it with --sign-only -o FILE, and have others sign the file with "wherry countersign"';

/**
 * Refuses a command that devices with the fleet's newest root would refuse: too few signatures, or
 * signatures by keys without the role. Without a root in the fleet, the keys of each device decide.
 */
export type RequireEnough = (
  envelope: Uint8Array,
  options?: {
    /** 1 while signatures are being collected. */
    readonly threshold?: number;
    /** What to do when there are too few. */
    readonly advice?: string;
  },
) => Promise<void>;

/**
 * Reads the fleet's newest root once, for any number of commands. The returned function throws
 * Refusal `threshold-not-met`, `key-unknown`, `key-unusable`, `signature-invalid`.
 */
export async function enoughSignatures({ fleet, clock }: Means): Promise<RequireEnough> {
  const newest = await newestRoot(fleet, Math.floor(clock.nowMs() / 1000));
  if (newest === undefined) return () => Promise.resolve();
  const { verifyEnvelope } = await import('../../wire/trust/openpgp.ts');
  const signers = signersOf(newest.root, 'deploy');
  return async (envelope, { threshold = signers.threshold, advice = signTheFile } = {}) => {
    const { payload, signatures } = decodeEnvelope(envelope);
    // A little later: the signature was made in this second, perhaps by a clock that is ahead.
    const time = { nowSeconds: Math.floor(clock.nowMs() / 1000) + 60, clockTrusted: true };
    await verifyEnvelope(payload, signatures, signers.keys, time, [], threshold).catch((error: unknown) => {
      if (!(error instanceof Refusal)) throw error;
      const then =
        error.code === 'threshold-not-met'
          ? advice
          : `root ${newest.root.version} of this fleet names who may command: "wherry trust root show"`;
      throw new Refusal(error.code, `${error.message}; ${then}`, { cause: error });
    });
  };
}

/** The same for one command. @throws Refusal as the function that `enoughSignatures` returns */
export async function requireEnough(
  means: Means,
  envelope: Uint8Array,
  options?: Parameters<RequireEnough>[1],
): Promise<void> {
  await (
    await enoughSignatures(means)
  )(envelope, options);
}
