import { isRefusal } from '../../core/refusal/index.ts';
import { verifyEnvelope } from './command-signature.ts';
import type { DeviceTime } from './judge.ts';

/** The result for a signature: the fingerprint of its key, or why it does not count. */
export type SignatureReview = { readonly fingerprint: string } | { readonly reason: string };

/**
 * Returns which key made each signature, for people who collect signatures. Devices use
 * `verifyEnvelope`.
 */
export async function reviewSignatures(
  payload: Uint8Array,
  signatures: readonly string[],
  keys: readonly string[],
  time: DeviceTime,
): Promise<readonly SignatureReview[]> {
  const review = async (signature: string): Promise<SignatureReview> => {
    try {
      const { fingerprints } = await verifyEnvelope(payload, [signature], keys, time);
      return { fingerprint: fingerprints[0] ?? '' };
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return { reason: error.message };
    }
  };
  return await Promise.all(signatures.map(review));
}
