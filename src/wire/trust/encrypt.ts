import * as openpgp from 'openpgp';
import { Refusal } from '../../core/refusal/index.ts';
import { encodeConfidential, encodeEncrypted, type ConfidentialContent } from './confidential.ts';

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
