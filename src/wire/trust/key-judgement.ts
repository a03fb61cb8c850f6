import * as openpgp from 'openpgp';
import { clockSkewSeconds, type DeviceTime } from './judge.ts';
import { isMismatch, refuseMissingPart, whyKeyFails } from './library-outcomes.ts';

/**
 * Algorithms that may sign, and the requirements on their keys. SHA-1-era and short keys are
 * excluded: DSA, RSA below 3072 bits, Brainpool, secp256k1, Ed448 (which GnuPG 2.2 does not know).
 */
const strongKeys: Readonly<Record<string, (info: openpgp.AlgorithmInfo) => boolean>> = {
  rsaEncryptSign: (info) => (info.bits ?? 0) >= 3072,
  rsaSign: (info) => (info.bits ?? 0) >= 3072,
  ecdsa: (info) => ['nistP256', 'nistP384', 'nistP521'].includes(info.curve ?? ''),
  eddsaLegacy: (info) => info.curve === 'ed25519Legacy',
  ed25519: () => true,
};

/**
 * The time at which to judge `key`: now, but not before the times that the key, and the authentic
 * signature created at `signedAtSeconds`, prove to be past. A trusted clock is advanced by such a
 * proof by the clock skew at most.
 */
export function judgedAt(
  key: openpgp.Key,
  signedAtSeconds: number | undefined,
  { nowSeconds, clockTrusted }: DeviceTime,
): number {
  const proofs = [
    key.keyPacket.created,
    ...key.revocationSignatures.map((revocation) => revocation.created),
    ...key.users.flatMap(({ selfCertifications, revocationSignatures }) =>
      [...selfCertifications, ...revocationSignatures].map((signature) => signature.created),
    ),
    ...key.subkeys.flatMap(({ bindingSignatures, revocationSignatures }) =>
      [...bindingSignatures, ...revocationSignatures].map((signature) => signature.created),
    ),
  ].map((date) => (date?.getTime() ?? 0) / 1000);
  const proven = Math.max(signedAtSeconds ?? 0, ...proofs);
  return Math.max(nowSeconds, clockTrusted ? Math.min(proven, nowSeconds + clockSkewSeconds) : proven);
}

/**
 * The judgement that signers, stores and verifiers share: why signatures of `key` (or of its part
 * `keyId`) do not count at `atSeconds`: weak, expired, revoked, not yet valid, not meant for
 * signing. `undefined` when they do; without `keyId` when those of the primary key or of any subkey
 * do.
 *
 * @throws {Refusal} `device-unsupported` when a part of the OpenPGP library is missing.
 */
export async function whyUnusable(
  key: openpgp.Key,
  keyId: openpgp.KeyID | undefined,
  atSeconds: number,
): Promise<string | undefined> {
  if (key.keyPacket.version !== 4) return `it is of OpenPGP version ${key.keyPacket.version}; 4 is supported`;
  // The primary key counts too: an attacker who can forge it can bind subkeys to it.
  const weak = weaknessOf(key);
  if (weak !== undefined) return weak;
  const date = new Date(atSeconds * 1000);
  if (key.getCreationTime() > date) return `it is not valid before ${key.getCreationTime().toISOString()}`;
  const { keyRevocation } = openpgp.enums.signature;
  if (await isRevoked(key.revocationSignatures, key, keyRevocation, { key: key.keyPacket }, date)) {
    return revokedSentence;
  }
  if (keyId !== undefined) return whyPartUnusable(key, keyId, date);
  let nearest: string | undefined;
  for (const part of signersOf(key)) {
    const reason = await whyPartUnusable(key, part.getKeyID(), date);
    if (reason === undefined) return undefined;
    if (nearest === undefined || nearest === mayNotSign) nearest = reason;
  }
  return nearest;
}

/** The reason for a key that is revoked as a whole. */
export const revokedSentence = 'it is revoked';

const mayNotSign = 'it may not sign';

/**
 * The subkeys from the newest on, then the primary key: the order in which GnuPG chooses the one
 * that signs.
 */
export function signersOf<K extends openpgp.Key>(key: K): (K | openpgp.Subkey)[] {
  const subkeys = [...key.subkeys].sort(
    (a, b) => b.getCreationTime().getTime() - a.getCreationTime().getTime(),
  );
  return [...subkeys, key];
}

async function whyPartUnusable(
  key: openpgp.Key,
  keyId: openpgp.KeyID,
  date: Date,
): Promise<string | undefined> {
  for (const subkey of key.getSubkeys(keyId)) {
    const { subkeyRevocation } = openpgp.enums.signature;
    const data = { key: key.keyPacket, bind: subkey.keyPacket };
    if (await isRevoked(subkey.revocationSignatures, key, subkeyRevocation, data, date)) {
      return 'its signing subkey is revoked';
    }
  }
  try {
    return weaknessOf(await key.getSigningKey(keyId, date));
  } catch (error) {
    return whyKeyFails(error);
  }
}

/** What is wrong with the algorithm or the size of a key. */
export function weaknessOf(key: Pick<openpgp.Key | openpgp.Subkey, 'getAlgorithmInfo'>): string | undefined {
  const info = key.getAlgorithmInfo();
  if (strongKeys[info.algorithm]?.(info) === true) return undefined;
  const size = info.bits === undefined ? (info.curve ?? '') : `${info.bits} bits`;
  return `${[info.algorithm, size].join(' ').trim()} is too weak or not supported; use Ed25519, RSA from 3072 bits or NIST P-256`;
}

/**
 * A revocation for one of these reasons counts from its date on; any other always did (RFC 9580
 * §5.2.3.31).
 */
const fromItsDateOn: readonly (openpgp.enums.reasonForRevocation | null)[] = [
  openpgp.enums.reasonForRevocation.keyRetired,
  openpgp.enums.reasonForRevocation.keySuperseded,
];

/**
 * Whether `key` itself revoked `data`. The library ignores a revocation with a weak hash, with a
 * critical part that it does not know, or that expired. For a good signature that is right; here it
 * would bring a revoked key back. So the only question is whether the key made it. What cannot be
 * verified counts as revoked: a hash that the library does not have, and a revocation by another
 * key that this one named as its revoker.
 */
async function isRevoked(
  revocations: readonly openpgp.SignaturePacket[],
  key: openpgp.Key,
  type: openpgp.enums.signature,
  data: object,
  date: Date,
): Promise<boolean> {
  const config = { ...openpgp.config, rejectHashAlgorithms: new Set<openpgp.enums.hash>() };
  for (const revocation of revocations) {
    const isLater = revocation.created !== null && revocation.created > date;
    if (isLater && fromItsDateOn.includes(revocation.reasonForRevocationFlag)) continue;
    try {
      // The library accepts null for "at any time"; its declaration omits that.
      await revocation.verify(key.keyPacket, type, data, null as unknown as Date, false, config);
      return true;
    } catch (error) {
      refuseMissingPart(error);
      if (!isMismatch(error) || revokersOf(key).has(revocation.issuerKeyID.toHex())) return true;
    }
  }
  return false;
}

/** Key IDs of the keys that `key` lets revoke it (RFC 9580 §5.2.3.23), lower-case hex. */
function revokersOf(key: openpgp.Key): ReadonlySet<string> {
  const named = key.toPacketList().map((packet) => {
    const fingerprint = packet instanceof openpgp.SignaturePacket ? packet.revocationKeyFingerprint : null;
    return Buffer.from(fingerprint ?? []).toString('hex');
  });
  return new Set(
    named.filter((fingerprint) => fingerprint !== '').map((fingerprint) => fingerprint.slice(-16)),
  );
}
