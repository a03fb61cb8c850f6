import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import { readCertificates } from './certificates.ts';
import type { DeviceTime } from './judge.ts';
import { openVerifier, type FaultCodes, readSignaturePacket } from './signature.ts';
import type { VerifiedPayload } from './verified-payload.ts';

const commandCodes: FaultCodes = {
  malformed: 'signature-malformed',
  mismatch: 'signature-invalid',
  unknown: 'key-unknown',
  unusable: 'key-unusable',
};

/** The order of refusals when no signature of an envelope counts: the nearest miss first. */
const nearestMiss = ['key-unusable', 'signature-invalid', 'key-unknown'] as const;

/**
 * Verifies the signatures of an envelope: `threshold` of them must be of different trusted keys
 * over exactly these bytes, and none may be malformed. Keys are distinguished by their primary key:
 * signatures of two subkeys of one certificate count once.
 *
 * @param keys Armored public keys of the role.
 * @param time at which keys and signatures are judged
 * @param copies Texts whose keys are not trusted; their packets count for the trusted keys
 *   (`readCertificates`).
 * @returns the payload as a verified one, and fingerprints of the primary keys that signed,
 *   lower-case hex, each once
 * @throws {Refusal} `unsigned`, `signature-malformed`, `signature-invalid`, `key-unknown`,
 *   `key-unusable`, `threshold-not-met`, `device-unsupported`.
 */
export async function verifyEnvelope(
  payload: Uint8Array,
  signatures: readonly string[],
  keys: readonly string[],
  time: DeviceTime,
  copies: readonly string[] = [],
  threshold = 1,
): Promise<{ readonly payload: VerifiedPayload; readonly fingerprints: string[] }> {
  const fingerprints = new Set<string>();
  const misses: Refusal[] = [];
  const trusted = await readCertificates(keys, copies);
  for (const signature of signatures) {
    try {
      const verifier = await openVerifier(signature, trusted, time, commandCodes);
      verifier.update(payload);
      fingerprints.add((await verifier.finish()).fingerprint);
    } catch (error) {
      if (!isRefusal(error, ...nearestMiss)) throw error;
      misses.push(error);
    }
  }
  if (fingerprints.size >= threshold)
    return { payload: payload as VerifiedPayload, fingerprints: [...fingerprints] };
  if (fingerprints.size > 0) {
    const also = misses[0] === undefined ? '' : `; another does not count: ${misses[0].message}`;
    throw new Refusal(
      'threshold-not-met',
      `signed by ${[...fingerprints].join(', ')}; ${threshold} different keys must sign${also}`,
    );
  }
  const [nearest] = nearestMiss.flatMap((code) => misses.filter((miss) => miss.code === code));
  throw nearest ?? new Refusal('unsigned', 'the envelope carries no signature');
}

/** Whether `armored` has the one form that is accepted. @throws Refusal `signature-malformed` */
export async function requireSignature(armored: string): Promise<void> {
  await readSignaturePacket(armored, commandCodes);
}
