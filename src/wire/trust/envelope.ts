import {
  bytes,
  CborError,
  decodeCbor,
  encodeCbor,
  list,
  map,
  oneOf,
  readFields,
  text,
  type Reader,
} from '../../core/cbor/index.ts';
import { Refusal } from '../../core/refusal/index.ts';

/** The largest message that every supported broker carries (AWS IoT Core: 128 KiB). */
export const maxEnvelopeBytes = 131_072;

/** An armored signature of an RSA key of 4096 bits takes 900 bytes; notations may add to it. */
export const maxSignatureBytes = 8192;

/**
 * Signatures beside the exact bytes that they cover, so that nothing is parsed before it is
 * verified.
 */
export interface Envelope {
  readonly format: 1;
  readonly payload: Uint8Array;
  /** Armored detached OpenPGP signatures, 1 to 8. */
  readonly signatures: readonly string[];
}

const envelope: Reader<Envelope> = map({
  format: oneOf(1),
  payload: bytes(maxEnvelopeBytes),
  signatures: list(text(maxSignatureBytes), { max: 8 }),
});

/**
 * The message to publish.
 *
 * @throws {Refusal} `envelope-too-large`, `envelope-malformed`, `unsigned`: the codes with which a
 *   device would refuse it.
 */
export function encodeEnvelope(content: Pick<Envelope, 'payload' | 'signatures'>): Uint8Array {
  const message = encodeCbor({ format: 1, payload: content.payload, signatures: content.signatures });
  decodeEnvelope(message);
  return message;
}

/**
 * Decodes a message from the broker. Nothing in it is trusted yet.
 *
 * @throws {Refusal} `envelope-too-large` (endless data attack), `envelope-malformed`, `unsigned`.
 */
export function decodeEnvelope(message: Uint8Array): Envelope {
  if (message.length > maxEnvelopeBytes) {
    throw new Refusal(
      'envelope-too-large',
      `the message has ${message.length} bytes; ${maxEnvelopeBytes} are the limit`,
    );
  }
  const content = decodeDraft(message);
  if (content.signatures.length === 0) {
    throw new Refusal('unsigned', 'the envelope carries no signature');
  }
  return content;
}

/** The file of an envelope whose signatures are still being collected; there may be none. */
export function encodeDraft(content: Pick<Envelope, 'payload' | 'signatures'>): Uint8Array {
  const file = encodeCbor({ format: 1, payload: content.payload, signatures: content.signatures });
  decodeDraft(file);
  return file;
}

/**
 * Decodes the file of an envelope, signed or not. It is used only to collect signatures.
 *
 * @throws {Refusal} `envelope-malformed`
 */
export function decodeDraft(message: Uint8Array): Envelope {
  try {
    return readFields(decodeCbor(message, { maxBytes: maxEnvelopeBytes, maxDepth: 2 }), envelope, 'envelope');
  } catch (error) {
    if (!(error instanceof CborError)) throw error;
    throw new Refusal('envelope-malformed', error.message, { cause: error });
  }
}
