import { Decoder } from 'cbor-x/index-no-eval';
import { encodeCbor, plainCbor } from './encode.ts';
import { scanCbor } from './scan.ts';
import { CborError, type CborLimits, type CborValue } from './value.ts';

/**
 * Decodes exactly one value in deterministic encoding. Bytes that differ from the re-encoded value
 * are refused: duplicate keys, unsorted keys, invalid UTF-8 and every other second way to write a
 * value. A digest of the bytes is therefore a digest of the value.
 *
 * @returns maps as objects without a prototype (`__proto__` is a key like any other), byte strings
 *   as copies.
 * @throws {CborError}
 */
export function decodeCbor(bytes: Uint8Array, limits: CborLimits): CborValue {
  scanCbor(bytes, limits);
  const value = plain(readWithLibrary(bytes));
  if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).equals(encodeCbor(value))) {
    throw new CborError(
      'the message is not in deterministic encoding: duplicate or unsorted keys, or invalid UTF-8',
    );
  }
  return value;
}

function readWithLibrary(bytes: Uint8Array): unknown {
  try {
    // cbor-x adds a `dataView` property to the array that it reads, so it gets a copy.
    return new Decoder(plainCbor).decode(Buffer.from(bytes));
  } catch (cause) {
    throw new CborError('the message cannot be decoded', { cause });
  }
}

/**
 * Converts what cbor-x builds (Map, Buffer, bigint) to plain values. The scan has excluded all
 * other types.
 */
function plain(value: unknown): CborValue {
  if (
    value === null ||
    typeof value === 'boolean' ||
    typeof value === 'number' ||
    typeof value === 'string'
  ) {
    return value;
  }
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) {
    const object = Object.create(null) as Record<string, CborValue>;
    for (const [key, member] of value as Map<string, unknown>) object[key] = plain(member);
    return object;
  }
  throw new CborError('the message cannot be decoded');
}
