import type * as openpgp from 'openpgp';
import { readCertificates } from './certificates.ts';
import type { DeviceTime } from './judge.ts';
import { judgedAt, whyUnusable } from './key-judgement.ts';

/**
 * A public key that was read, with the verdict of `readKeys` on it. Fingerprints are lower-case
 * hex.
 */
export type KeyVerdict = { readonly armoredIndex: number } & (
  | {
      readonly usable: true;
      readonly fingerprint: string;
      readonly userIds: readonly string[];
      readonly algorithm: string;
      readonly key: openpgp.Key;
    }
  | {
      readonly usable: false;
      /** Absent when the text is not a key at all. */
      readonly fingerprint?: string;
      /** Absent when the text is not a key at all. */
      readonly key?: openpgp.Key;
      readonly reason: string;
    }
);

export type UsableKey = Extract<KeyVerdict, { usable: true }>;
export type UnusableKey = Extract<KeyVerdict, { usable: false }>;

/**
 * Reads armored public keys, one or more per text, and judges whether the signatures of each
 * certificate count now. Copies of one certificate are one; see `readCertificates`.
 *
 * @param time at which they are judged
 * @param copies Texts whose keys are not returned; their packets count for keys that are in
 *   `armored`.
 */
export async function readKeys(
  armored: readonly string[],
  time: DeviceTime,
  copies: readonly string[] = [],
): Promise<{ usable: UsableKey[]; unusable: UnusableKey[] }> {
  const usable: UsableKey[] = [];
  const { certificates, unreadable } = await readCertificates(armored, copies);
  const unusable: UnusableKey[] = unreadable.map((text) => ({ ...text, usable: false }));
  for (const { armoredIndex, key } of certificates) {
    const fingerprint = key.getFingerprint();
    const reason = await whyUnusable(key, undefined, judgedAt(key, undefined, time));
    if (reason !== undefined) {
      unusable.push({ armoredIndex, usable: false, fingerprint, key, reason });
      continue;
    }
    const { algorithm, bits, curve } = key.getAlgorithmInfo();
    usable.push({
      armoredIndex,
      usable: true,
      fingerprint,
      userIds: key.getUserIDs(),
      algorithm: [algorithm, curve ?? bits].filter((part) => part !== undefined).join(' '),
      key,
    });
  }
  unusable.sort((a, b) => a.armoredIndex - b.armoredIndex);
  return { usable, unusable };
}
