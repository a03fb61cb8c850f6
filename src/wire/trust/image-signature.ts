import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import type { DeviceTime } from './judge.ts';
import { readCertificates } from './certificates.ts';
import { openVerifier, type FaultCodes, type SignatureVerifier } from './signature.ts';

const imageCodes: FaultCodes = {
  malformed: 'image-signature-invalid',
  mismatch: 'image-signature-invalid',
  unknown: 'image-key-untrusted',
  unusable: 'key-unusable',
};

/** As many as a command may have. */
export const maxSignatures = 8;

/** The armored signatures of an `.asc` file, one after the other. */
export function signatureBlocks(asc: string): readonly string[] {
  return asc.split(/(?=-----BEGIN PGP SIGNATURE-----)/).filter((text) => text.trim() !== '');
}

/**
 * Verifies the detached signature of an image while its bytes stream by; nothing is kept of them.
 *
 * @param armoredSignature The text of the `.asc` file: one armored signature, or, where a threshold
 *   is given, up to eight one after the other, of which as many as the threshold must be of
 *   different keys.
 * @param keys Armored public keys that are trusted for the name of the image (`keysForImage`).
 * @param time at which key and signature are judged
 * @param copies See `verifyEnvelope`.
 * @throws {Refusal} `image-signature-missing` for an empty file, `image-signature-invalid`,
 *   `image-key-untrusted`, `key-unusable`; from `finish` also when the bytes are not those that
 *   were signed.
 */
export async function signatureVerifier(
  armoredSignature: string,
  keys: readonly string[],
  time: DeviceTime,
  copies: readonly string[] = [],
  threshold?: number,
): Promise<SignatureVerifier> {
  if (armoredSignature.trim() === '') {
    throw new Refusal('image-signature-missing', 'the signature file of the image is empty');
  }
  const trusted = await readCertificates(keys, copies);
  if (threshold === undefined) return openVerifier(armoredSignature, trusted, time, imageCodes);
  const blocks = signatureBlocks(armoredSignature);
  if (blocks.length > maxSignatures) {
    throw new Refusal('image-signature-invalid', `the image has more than ${maxSignatures} signatures`);
  }
  const misses: Refusal[] = [];
  const verifiers: SignatureVerifier[] = [];
  for (const block of blocks) {
    await openVerifier(block, trusted, time, imageCodes).then(
      (verifier) => verifiers.push(verifier),
      (error: unknown) => misses.push(asMiss(error)),
    );
  }
  // Checked before a byte is fetched: missing signatures cannot appear later.
  if (verifiers.length < threshold) throw tooFew(verifiers.length, threshold, misses);
  return {
    update: (chunk) => {
      for (const verifier of verifiers) verifier.update(chunk);
    },
    finish: async () => {
      const signedBy = new Set<string>();
      for (const verifier of verifiers) {
        await verifier.finish().then(
          ({ fingerprint }) => signedBy.add(fingerprint),
          (error: unknown) => misses.push(asMiss(error)),
        );
      }
      if (signedBy.size < threshold) throw tooFew(signedBy.size, threshold, misses);
      return { fingerprint: [...signedBy].join(' ') };
    },
  };
}

/**
 * A signature that does not count is recorded, because others may count; any other error is thrown.
 */
function asMiss(error: unknown): Refusal {
  if (isRefusal(error, 'image-signature-invalid', 'image-key-untrusted', 'key-unusable')) return error;
  throw error;
}

function tooFew(found: number, threshold: number, misses: readonly Refusal[]): Refusal {
  const [miss] = misses;
  if (found === 0 && miss !== undefined) return miss;
  const why = miss === undefined ? '' : `; another does not count: ${miss.message}`;
  return new Refusal(
    'image-threshold-not-met',
    `${found} of the keys of its role signed the image; ${threshold} must${why}`,
  );
}
