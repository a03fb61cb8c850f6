import { createHash } from 'node:crypto';
import { parseAcName, type AcName } from '../../image/appc/index.ts';
import {
  bytes,
  CborError,
  decodeCbor,
  encodeCbor,
  list,
  map,
  oneOf,
  parsed,
  type Reader,
  readFields,
  text,
} from '../../core/cbor/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { decodeEnvelope, type Envelope, maxEnvelopeBytes, maxSignatureBytes } from './envelope.ts';

/**
 * The second form of a message: an OpenPGP message to its devices. It contains the members of an
 * envelope and values of secrets. Signatures are over the plain payload, so an encrypted envelope
 * is judged exactly like one that is not encrypted.
 */

/** The longest value of a secret, in bytes; certificates and keys are shorter. */
export const maxSecretBytes = 16_384;
export const maxSecrets = 32;
const saltBytes = 32;
/**
 * How many devices one message may be for. Each takes 96 bytes, which leaves 78 KB beside the
 * session keys of the maximum.
 */
export const maxRecipients = 512;

/** A value that a payload names by its digest. */
export interface SecretValue {
  readonly name: AcName;
  /** 32 secret bytes: without them, short values could be guessed from their digest. */
  readonly salt: Uint8Array;
  readonly value: Uint8Array;
}

/** What an encrypted message holds. */
export interface ConfidentialContent extends Pick<Envelope, 'payload' | 'signatures'> {
  readonly secrets: readonly SecretValue[];
}

/** The parts of a message on the topic of commands that can be read without a key. */
export type SealedOrOpen =
  | { readonly form: 'open'; readonly envelope: Envelope }
  | { readonly form: 'encrypted'; readonly ciphertext: Uint8Array };

const encrypted: Reader<{ readonly ciphertext: Uint8Array }> = map({
  format: oneOf(2),
  ciphertext: bytes(maxEnvelopeBytes),
});

const content: Reader<ConfidentialContent> = map({
  format: oneOf(1),
  payload: bytes(maxEnvelopeBytes),
  signatures: list(text(maxSignatureBytes), { min: 1, max: 8 }),
  secrets: list(
    map({
      name: parsed(text(128), parseAcName),
      salt: parsed(bytes(saltBytes), (salt) => {
        if (salt.length !== saltBytes) throw new CborError(`a salt has ${saltBytes} bytes`);
        return salt;
      }),
      value: bytes(maxSecretBytes),
    }),
    { max: maxSecrets },
  ),
});

/**
 * Which form a message has. Nothing in it is trusted yet.
 *
 * @throws {Refusal} as `decodeEnvelope`
 */
export function decodeMessage(message: Uint8Array): SealedOrOpen {
  if (message.length > maxEnvelopeBytes || !looksEncrypted(message))
    return { form: 'open', envelope: decodeEnvelope(message) };
  return {
    form: 'encrypted',
    ciphertext: read(message, encrypted, 'envelope', 'envelope-malformed').ciphertext,
  };
}

/** Whether the bytes are an encrypted message. Those that are neither form are not. */
export function isEncrypted(message: Uint8Array): boolean {
  return message.length <= maxEnvelopeBytes && looksEncrypted(message);
}

/**
 * The message that carries `ciphertext`.
 *
 * @throws {Refusal} `envelope-too-large`
 */
export function encodeEncrypted(ciphertext: Uint8Array): Uint8Array {
  const message = encodeCbor({ format: 2, ciphertext });
  if (message.length > maxEnvelopeBytes) {
    throw new Refusal(
      'envelope-too-large',
      `encrypted, the message has ${message.length} bytes; ${maxEnvelopeBytes} are the limit`,
    );
  }
  return message;
}

/**
 * The plaintext to encrypt.
 *
 * @throws {Refusal} `ciphertext-malformed` for content that no device would accept
 */
export function encodeConfidential(wanted: ConfidentialContent): Uint8Array {
  const plaintext = encodeCbor({ format: 1, ...wanted });
  decodeConfidential(plaintext);
  return plaintext;
}

/**
 * Reads what was decrypted. Its signatures are still to be verified.
 *
 * @throws {Refusal} `ciphertext-malformed`
 */
export function decodeConfidential(plaintext: Uint8Array): ConfidentialContent {
  const { payload, signatures, secrets } = read(
    plaintext,
    content,
    'decrypted message',
    'ciphertext-malformed',
  );
  return { payload, signatures, secrets };
}

/**
 * The name of a value in a payload, lower-case hex. It binds the value to the name and does not
 * reveal it. A device keeps the sealed value under this name.
 */
export function secretDigest({ name, salt, value }: SecretValue): string {
  return createHash('sha256').update(`wherry secret\0${name}\0`).update(salt).update(value).digest('hex');
}

function looksEncrypted(message: Uint8Array): boolean {
  try {
    const value = decodeCbor(message, { maxBytes: maxEnvelopeBytes, maxDepth: 2 });
    return readFields(value, form, 'envelope') === 'encrypted';
  } catch (error) {
    if (!(error instanceof CborError)) throw error;
    return false;
  }
}

const form: Reader<'encrypted' | 'open'> = (value) =>
  typeof value === 'object' && value !== null && 'format' in value && value.format === 2
    ? 'encrypted'
    : 'open';

function read<T>(
  input: Uint8Array,
  reader: Reader<T>,
  what: string,
  code: 'envelope-malformed' | 'ciphertext-malformed',
): T {
  try {
    return readFields(decodeCbor(input, { maxBytes: maxEnvelopeBytes, maxDepth: 3 }), reader, what);
  } catch (cause) {
    if (!(cause instanceof CborError)) throw cause;
    throw new Refusal(code, cause.message, { cause });
  }
}
