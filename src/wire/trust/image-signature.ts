import { Refusal } from '../../core/refusal/index.ts';
import type { DeviceTime } from './judge.ts';
import { openVerifier, type FaultCodes, type SignatureVerifier } from './signature.ts';

const imageCodes: FaultCodes = {
  malformed: 'image-signature-invalid',
  mismatch: 'image-signature-invalid',
  unknown: 'image-key-untrusted',
  unusable: 'key-unusable',
};

/**
 * Verifies the detached signature of an image while its bytes stream by; nothing is kept of them.
 *
 * @param armoredSignature The text of the `.asc` file.
 * @param keys Armored public keys that are trusted for the name of the image (`keysForImage`).
 * @param time at which key and signature are judged
 * @param copies See `verifyEnvelope`.
 * @throws {Refusal} `image-signature-missing` for an empty file, `image-signature-invalid`, `image-key-untrusted`,
 *   `key-unusable`; from `finish` also when the bytes are not those that were signed.
 */
export async function signatureVerifier(
  armoredSignature: string,
  keys: readonly string[],
  time: DeviceTime,
  copies: readonly string[] = [],
): Promise<SignatureVerifier> {
  if (armoredSignature.trim() === '') {
    throw new Refusal('image-signature-missing', 'the signature file of the image is empty');
  }
  return openVerifier(armoredSignature, keys, time, imageCodes, copies);
}
