import { CborError, readCbor, readFields, text, type CborValue, type Reader } from '../../core/cbor/index.ts';
import { Refusal } from '../../core/refusal/index.ts';

/**
 * Reads the messages of devices. A device may be compromised, so its messages are bounded like any
 * other input, and control characters never reach a terminal.
 */

export const maxSmallBytes = 4 * 1024;
export const maxDepth = 6;

/** @throws Refusal `input-invalid` */
export function decode<T>(bytes: Uint8Array, maxBytes: number, reader: Reader<T>, what: string): T {
  return orUnreadable(() => readFields(readCbor(bytes, { maxBytes, maxDepth }), reader, what), what);
}

/** @throws Refusal `input-invalid` for a message that `read` does not accept */
export function orUnreadable<T>(read: () => T, what: string): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof CborError)) throw error;
    throw new Refusal('input-invalid', `a device sent a ${what} that cannot be read: ${error.message}`, {
      cause: error,
    });
  }
}

/** Text without control characters: it is printed on an operator's terminal. */
export function line(maxBytes: number): Reader<string> {
  const bounded = text(maxBytes);
  return (value: CborValue, path: string) => {
    const read = bounded(value, path);
    if (/\p{Cc}/u.test(read)) throw new CborError(`${path}: has control characters`);
    return read;
  };
}
