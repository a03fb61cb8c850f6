import type { DeviceTime } from './judge.ts';
import { readKeys, type UnusableKey } from './keys.ts';

/** What a person looks at before a key is trusted. */
export interface KeyReview {
  /** Lower-case hex. */
  readonly fingerprint: string;
  /** Free text of whoever made the key. */
  readonly userIds: readonly string[];
  readonly algorithm: string;
  /** A date, or undefined for a key that does not expire. */
  readonly expires: string | undefined;
  /** This key alone, armored. */
  readonly armored: string;
}

/** Reads armored public keys for a review: one by one, each with the verdict on it. */
export async function reviewKeys(
  armored: string,
  time: DeviceTime,
): Promise<{ readonly usable: readonly KeyReview[]; readonly unusable: readonly UnusableKey[] }> {
  const { usable, unusable } = await readKeys([armored], time);
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
  return { usable: await Promise.all(reviews), unusable };
}
