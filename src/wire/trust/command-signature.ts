import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import type { DeviceTime } from './judge.ts';
import { openVerifier, type FaultCodes } from './signature.ts';
import type { VerifiedPayload } from './verified-payload.ts';

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
 * @param time at which keys and signatures are judged
 * @param copies Texts that trust nothing: what they say counts for the deploy keys, too (`readCertificates`).
 * @returns the payload as a verified one, and fingerprints of the primary keys that signed, lower-case hex, each once
 * @throws {Refusal} `unsigned`, `signature-malformed`, `signature-invalid`, `key-unknown`, `key-unusable`,
 *   `device-unsupported`.
 */
export async function verifyEnvelope(
  payload: Uint8Array,
  signatures: readonly string[],
  keys: readonly string[],
  time: DeviceTime,
  copies: readonly string[] = [],
): Promise<{ readonly payload: VerifiedPayload; readonly fingerprints: string[] }> {
  const fingerprints = new Set<string>();
  const misses: Refusal[] = [];
  for (const signature of signatures) {
    try {
      const verifier = await openVerifier(signature, keys, time, commandCodes, copies);
      verifier.update(payload);
      fingerprints.add((await verifier.finish()).fingerprint);
    } catch (error) {
      if (!isRefusal(error, ...nearestMiss)) throw error;
      misses.push(error);
    }
  }
  if (fingerprints.size > 0) return { payload: payload as VerifiedPayload, fingerprints: [...fingerprints] };
  const [nearest] = nearestMiss.flatMap((code) => misses.filter((miss) => miss.code === code));
  throw nearest ?? new Refusal('unsigned', 'the envelope carries no signature');
}
