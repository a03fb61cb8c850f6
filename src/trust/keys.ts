import * as openpgp from 'openpgp';
import type { DeviceTime } from './judge.ts';

/** A public key that was read, with the verdict of `readKeys` on it. Fingerprints are lower-case hex. */
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
      readonly reason: string;
    }
);

export type UsableKey = Extract<KeyVerdict, { usable: true }>;
export type UnusableKey = Extract<KeyVerdict, { usable: false }>;

/** How far in the future a trusted clock may find a key or a signature: two machines' clocks never agree exactly. */
const clockSkewSeconds = 600;

/** Of one text of keys, in characters: a key with its certifications has a few thousand. */
const maxKeyTextLength = 256 * 1024;

/**
 * Algorithms that may sign, and what is asked of their keys. SHA-1-era and short keys are not here: DSA, RSA below
 * 3072 bits, Brainpool, secp256k1, Ed448 (which GnuPG 2.2 does not know).
 */
const strongKeys: Readonly<Record<string, (info: openpgp.AlgorithmInfo) => boolean>> = {
  rsaEncryptSign: (info) => (info.bits ?? 0) >= 3072,
  rsaSign: (info) => (info.bits ?? 0) >= 3072,
  ecdsa: (info) => ['nistP256', 'nistP384', 'nistP521'].includes(info.curve ?? ''),
  eddsaLegacy: (info) => info.curve === 'ed25519Legacy',
  ed25519: () => true,
};

/**
 * Reads armored public keys, several to a text if need be, and says of each whether its signatures count now.
 *
 * @param time at which they are judged
 */
export async function readKeys(
  armored: readonly string[],
  time: DeviceTime,
): Promise<{ usable: UsableKey[]; unusable: UnusableKey[] }> {
  const usable: UsableKey[] = [];
  const unusable: UnusableKey[] = [];
  for (const [armoredIndex, text] of armored.entries()) {
    const { keys, reason } = await parseKeys(text);
    if (reason !== undefined) unusable.push({ armoredIndex, usable: false, reason });
    for (const key of keys) {
      const fingerprint = key.getFingerprint();
      const weakness = await whyUnusable(key, undefined, judgedAt(key, undefined, time));
      if (weakness !== undefined) {
        unusable.push({ armoredIndex, usable: false, fingerprint, reason: weakness });
      } else {
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
    }
  }
  return { usable, unusable };
}

/** The keys in `text`; where it ends being keys, `reason` says so and the keys before it still count. */
export async function parseKeys(text: string): Promise<{ keys: openpgp.Key[]; reason?: string }> {
  const keys: openpgp.Key[] = [];
  if (text.length > maxKeyTextLength)
    return { keys, reason: `it is longer than ${maxKeyTextLength} characters` };
  // The library reads the first armored block and forgets the rest; a file of several keys is several blocks. Text between
  // them is for people.
  const parts = text.split(/(?=-----BEGIN PGP )/).filter((part) => part.trim() !== '');
  const blocks = parts.filter((part) => part.startsWith('-----BEGIN PGP '));
  if (blocks.length === 0 && parts.length > 0) {
    return {
      keys,
      reason:
        'it cannot be read as an OpenPGP key: there is no armored block; export it with gpg --armor --export',
    };
  }
  for (const block of blocks) {
    try {
      for (const key of await openpgp.readKeys({ armoredKeys: block })) {
        if (key.keyPacket instanceof openpgp.SecretKeyPacket) {
          return { keys, reason: 'it is a private key; devices need the public one' };
        }
        keys.push(key);
      }
    } catch (error) {
      return { keys, reason: `it cannot be read as an OpenPGP key (${messageOf(error)})` };
    }
  }
  return keys.length > 0 ? { keys } : { keys, reason: 'it holds no OpenPGP key' };
}

/**
 * When to judge `key`: now; but not before the moments that the key, and the authentic signature created at
 * `signedAtSeconds`, prove to be past. A trusted clock yields to such a proof by the clock skew only.
 */
export function judgedAt(
  key: openpgp.Key,
  signedAtSeconds: number | undefined,
  { nowSeconds, clockTrusted }: DeviceTime,
): number {
  const proofs = [
    key.keyPacket.created,
    ...key.users.flatMap((user) => user.selfCertifications.map((certification) => certification.created)),
    ...key.subkeys.flatMap((subkey) => subkey.bindingSignatures.map((binding) => binding.created)),
  ].map((date) => (date?.getTime() ?? 0) / 1000);
  const proven = Math.max(signedAtSeconds ?? 0, ...proofs);
  return Math.max(nowSeconds, clockTrusted ? Math.min(proven, nowSeconds + clockSkewSeconds) : proven);
}

/**
 * Why signatures of `key` (or of its subkey `keyId`) do not count at `atSeconds`: weak, expired, revoked, not yet valid,
 * not meant for signing. `undefined` when they do.
 */
export async function whyUnusable(
  key: openpgp.Key,
  keyId: openpgp.KeyID | undefined,
  atSeconds: number,
): Promise<string | undefined> {
  if (key.keyPacket.version !== 4) return `it is of OpenPGP version ${key.keyPacket.version}; 4 is supported`;
  // The primary key counts too: who can forge it can bind subkeys to it.
  const weak = weaknessOf(key);
  if (weak !== undefined) return weak;
  const date = new Date(atSeconds * 1000);
  if (key.getCreationTime() > date) return `it is not valid before ${key.getCreationTime().toISOString()}`;
  try {
    return weaknessOf(await key.getSigningKey(keyId, date));
  } catch (error) {
    return messageOf(error);
  }
}

/** What is wrong with the algorithm or the size of a key. */
export function weaknessOf(key: Pick<openpgp.Key | openpgp.Subkey, 'getAlgorithmInfo'>): string | undefined {
  const info = key.getAlgorithmInfo();
  if (strongKeys[info.algorithm]?.(info) === true) return undefined;
  const size = info.bits === undefined ? (info.curve ?? '') : `${info.bits} bits`;
  return `${[info.algorithm, size].join(' ').trim()} is too weak or not supported; use Ed25519, RSA from 3072 bits or NIST P-256`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
