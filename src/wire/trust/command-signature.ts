import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import { openVerifier, type FaultCodes } from './signature.ts';

const commandCodes: FaultCodes = {
  malformed: 'signature-malformed',
  mismatch: 'signature-invalid',
  unknown: 'key-unknown',
  unusable: 'key-unusable',
};

/** Which refusal tells most when no signature of an envelope counts: the nearest miss first. */
const nearestMiss = ['key-unusable', 'signature-invalid', 'key-unknown'] as const;

/**
 * Verifies the signatures of an envelope: at least one must be of a trusted key over exactly these bytes, and none may
 * be malformed.
 *
 * @param keys Armored public deploy keys.
 * @param atSeconds Seconds since 1970, at least the time floor.
 * @param clockTrusted Without it a key or signature from the future is taken as proof that the clock is behind.
 * @param copies Texts that trust nothing: what they say counts for the deploy keys, too (`readCertificates`).
 * @returns fingerprints of the primary keys that signed, lower-case hex, each once.
 * @throws {Refusal} `unsigned`, `signature-malformed`, `signature-invalid`, `key-unknown`, `key-unusable`,
 *   `device-unsupported`.
 */
export async function verifyEnvelope(
  payload: Uint8Array,
  signatures: readonly string[],
  keys: readonly string[],
  atSeconds: number,
  clockTrusted = false,
  copies: readonly string[] = [],
): Promise<{ fingerprints: string[] }> {
  const fingerprints = new Set<string>();
  const misses: Refusal[] = [];
  for (const signature of signatures) {
    try {
      const verifier = await openVerifier(signature, keys, atSeconds, clockTrusted, commandCodes, copies);
      verifier.update(payload);
      fingerprints.add((await verifier.finish()).fingerprint);
    } catch (error) {
      if (!isRefusal(error, ...nearestMiss)) throw error;
      misses.push(error);
    }
  }
  if (fingerprints.size > 0) return { fingerprints: [...fingerprints] };
  const [nearest] = nearestMiss.flatMap((code) => misses.filter((miss) => miss.code === code));
  throw nearest ?? new Refusal('unsigned', 'the envelope carries no signature');
}
