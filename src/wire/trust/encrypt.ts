import * as openpgp from 'openpgp';
import { Refusal } from '../../core/refusal/index.ts';
import { encodeConfidential, encodeEncrypted, type ConfidentialContent } from './confidential.ts';

/**
 * The creation time of every device key. A device may make its key before it knows the time, and a
 * key from the future is not usable.
 */
const keyTime = new Date(Date.UTC(2025, 0, 1));

export interface DeviceKey {
  /** Armored and not protected by a passphrase: systemd-creds seals it. */
  readonly privateKey: string;
  readonly publicKey: string;
  /** Lower-case hex. */
  readonly fingerprint: string;
}

/** Makes the key to which commands for a device are encrypted: Curve25519 in the form of GnuPG. */
export async function generateDeviceKey(name: string): Promise<DeviceKey> {
  const { privateKey, publicKey } = await openpgp.generateKey({
    type: 'ecc',
    curve: 'curve25519Legacy',
    userIDs: [{ name }],
    format: 'object',
    date: keyTime,
  });
  return {
    privateKey: privateKey.armor(),
    publicKey: publicKey.armor(),
    fingerprint: publicKey.getFingerprint(),
  };
}

/**
 * The fingerprint of a public key for encryption, lower-case hex.
 *
 * @throws {Refusal} `input-invalid`
 */
export async function deviceKeyFingerprint(armored: string): Promise<string> {
  return (await readDeviceKey(armored)).getFingerprint();
}

async function readDeviceKey(armored: string): Promise<openpgp.Key> {
  const keys = await openpgp.readKeys({ armoredKeys: armored }).catch((cause: unknown) => {
    throw new Refusal('input-invalid', 'it is not an armored OpenPGP key', { cause });
  });
  const [key] = keys;
  if (key === undefined || keys.length > 1)
    throw new Refusal('input-invalid', `it holds ${keys.length} keys in place of one`);
  if (key.isPrivate()) throw new Refusal('input-invalid', 'it is a private key');
  await key.getEncryptionKey(undefined, new Date()).catch((cause: unknown) => {
    throw new Refusal('input-invalid', `nothing can be encrypted to its key ${key.getFingerprint()}`, {
      cause,
    });
  });
  return key;
}

/**
 * The message that only the devices of `keys` can read.
 *
 * @param keys armored public keys
 * @throws {Refusal} `envelope-too-large`, `input-invalid` for a key that cannot be encrypted to
 */
export async function encryptMessage(
  content: ConfidentialContent,
  keys: readonly string[],
): Promise<Uint8Array> {
  const read = await Promise.all(keys.map(readDeviceKey));
  // The library's declaration lacks the types of streams, and so that of the result.
  const ciphertext = (await openpgp.encrypt({
    message: await openpgp.createMessage({ binary: encodeConfidential(content) }),
    encryptionKeys: read.map((key) => key.toPublic()),
    format: 'binary',
    config: { preferredCompressionAlgorithm: openpgp.enums.compression.uncompressed },
  })) as unknown as Uint8Array;
  return encodeEncrypted(ciphertext);
}
