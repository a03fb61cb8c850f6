import * as openpgp from 'openpgp';
import { Refusal } from '../../core/refusal/index.ts';
import { decodeConfidential, maxRecipients, type ConfidentialContent } from './confidential.ts';
import { messageOf, refuseMissingPart } from './library-outcomes.ts';

/**
 * Messages are never compressed: a few bytes could expand to any size, and the length of compressed
 * data reveals its content (RFC 9580 §13.7). The library decompresses while it reads, so its limit
 * is zero bytes.
 */
const config: openpgp.PartialConfig = {
  maxDecompressedMessageSize: 0,
  allowUnauthenticatedMessages: false,
  ignoreUnsupportedPackets: false,
};

/**
 * Decrypts a message to this device. It has exactly one form: session keys for at most 512 devices,
 * and one encrypted packet with integrity protection, in which one literal packet is. The plaintext
 * is not longer than the message.
 *
 * @param deviceKey the armored private key of the device; undefined when it has none
 * @throws {Refusal} `device-key-missing`, `ciphertext-malformed`, `decryption-failed`
 */
export async function decryptMessage(
  ciphertext: Uint8Array,
  deviceKey: string | undefined,
): Promise<ConfidentialContent> {
  if (deviceKey === undefined) {
    throw new Refusal(
      'device-key-missing',
      'the message is encrypted and this device has no key; make one with "wherry key init"',
    );
  }
  const message = await readForm(ciphertext);
  const key = await openpgp.readPrivateKey({ armoredKey: deviceKey });
  requireRecipient(message, key);
  // The library's declaration lacks the types of streams, and so the type of the result.
  const decrypting = openpgp.decrypt({ message, decryptionKeys: key, format: 'binary', config });
  const { data, signatures } = (await decrypting.catch((cause: unknown) => {
    refuseMissingPart(cause);
    throw whyNotDecrypted(cause, key);
  })) as unknown as { readonly data: Uint8Array; readonly signatures: readonly unknown[] };
  // Signatures must be over the payload; others are refused.
  if (signatures.length > 0) throw malformed('it is signed as a whole');
  return decodeConfidential(data);
}

async function readForm(ciphertext: Uint8Array): Promise<openpgp.Message<Uint8Array>> {
  let message: openpgp.Message<Uint8Array>;
  try {
    message = await openpgp.readMessage({ binaryMessage: ciphertext, config });
  } catch (cause) {
    refuseMissingPart(cause);
    throw malformed(messageOf(cause), cause);
  }
  const packets = message.packets as unknown as openpgp.AnyPacket[];
  const sessionKeys = packets.slice(0, -1);
  const isForm =
    packets.at(-1) instanceof openpgp.SymEncryptedIntegrityProtectedDataPacket &&
    sessionKeys.length > 0 &&
    sessionKeys.length <= maxRecipients &&
    sessionKeys.every((packet) => packet instanceof openpgp.PublicKeyEncryptedSessionKeyPacket);
  if (!isForm)
    throw malformed(
      `it is not one encrypted packet with integrity protection after 1 to ${maxRecipients} session keys`,
    );
  return message;
}

/**
 * The command of a group is not encrypted to a device that joined the group later.
 *
 * @throws {Refusal} `decryption-failed`
 */
function requireRecipient(message: openpgp.Message<Uint8Array>, key: openpgp.PrivateKey): void {
  const wanted = message.getEncryptionKeyIDs();
  const own = key.getKeyIDs();
  if (wanted.some((id) => own.some((one) => one.equals(id, true)))) return;
  throw new Refusal(
    'decryption-failed',
    `the message is encrypted to ${wanted.length} other keys and not to ${key.getFingerprint()} of this device: the operator has to encrypt it to this device, too, and send it again`,
  );
}

function whyNotDecrypted(cause: unknown, key: openpgp.PrivateKey): Refusal {
  const message = messageOf(cause);
  if (/decompress/i.test(message)) return malformed('it is compressed', cause);
  if (/Modification detected|Unexpected packet|Packet not allowed|malformed|grammar/i.test(message))
    return malformed(message, cause);
  return new Refusal(
    'decryption-failed',
    `the message is not for the key ${key.getFingerprint()} of this device, or was changed: ${message}`,
    { cause },
  );
}

function malformed(problem: string, cause?: unknown): Refusal {
  return new Refusal('ciphertext-malformed', `the encrypted message cannot be read: ${problem}`, { cause });
}
