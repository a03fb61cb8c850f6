import type { DeviceTime } from './judge.ts';
import { readCertificates } from './certificates.ts';
import { revokedSentence } from './key-judgement.ts';
import { readKeys } from './keys.ts';

/** What a person reviews before a key is trusted. */
export interface KeyReview {
  /** Lower-case hex. */
  readonly fingerprint: string;
  /** Free text from the creator of the key. */
  readonly userIds: readonly string[];
  readonly algorithm: string;
  /** A date, or undefined for a key that does not expire. */
  readonly expires: string | undefined;
  /** This key alone, merged with its copies, armored. */
  readonly armored: string;
}

/** A key that does not count, with what is known about it. */
export interface UnusableReview {
  /** Absent when the text is not a key at all. */
  readonly fingerprint?: string;
  readonly reason: string;
  readonly revoked: boolean;
  /** The key merged with its copies, armored. */
  readonly armored?: string;
}

export interface KeysReview {
  readonly usable: readonly KeyReview[];
  readonly unusable: readonly UnusableReview[];
}

/**
 * Reads armored public keys for a review: one by one, each with the same verdict as on devices.
 *
 * @param copies Keys and revocation certificates that are stored already; their packets count for
 *   the keys in `armored`.
 */
export async function reviewKeys(
  armored: string,
  time: DeviceTime,
  copies: readonly string[] = [],
): Promise<KeysReview> {
  const { usable, unusable } = await readKeys([armored], time, copies);
  const reviews = usable.map(async ({ fingerprint, userIds, algorithm, key }): Promise<KeyReview> => {
    const expiry = await key.getExpirationTime();
    return {
      fingerprint,
      userIds,
      algorithm,
      expires: expiry instanceof Date ? expiry.toISOString().slice(0, 10) : undefined,
      armored: key.armor(),
    };
  });
  return {
    usable: await Promise.all(reviews),
    unusable: unusable.map(({ fingerprint, reason, key }) => ({
      reason,
      revoked: reason === revokedSentence,
      ...(fingerprint === undefined ? {} : { fingerprint }),
      ...(key === undefined ? {} : { armored: key.armor() }),
    })),
  };
}

/**
 * The fingerprints of the keys that the revocation certificates in `armored` are for, lower-case
 * hex. They are not verified.
 */
export async function revokedBy(armored: string): Promise<readonly string[]> {
  return (await readCertificates([armored])).named;
}

/**
 * Why `armored` holds neither a public key nor a revocation certificate; undefined when it does.
 */
export async function whyNotKeys(armored: string): Promise<string | undefined> {
  const { certificates, unreadable } = await readCertificates([armored]);
  return certificates.length > 0 ? undefined : unreadable[0]?.reason;
}
