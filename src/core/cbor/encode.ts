import { Encoder } from 'cbor-x/index-no-eval';
import { CborError } from './value.ts';

/** Settings under which cbor-x writes plain RFC 8949 and none of its extensions. */
export const plainCbor = { useRecords: false, mapsAsObjects: false, tagUint8Array: false } as const;

/**
 * Encodes `value` deterministically (RFC 8949 §4.2.1): shortest heads, definite lengths, map keys
 * sorted by the bytes of their encoding. The same value always gives the same bytes, whatever the
 * order in which keys were added.
 *
 * @param value null, booleans, safe integers, well-formed strings, Uint8Array, arrays and plain
 *   objects of these. Keys of objects whose value is `undefined` are left out.
 * @throws {CborError} for anything else: floats, bigint, dates, class instances, lone surrogates.
 */
export function encodeCbor(value: unknown): Uint8Array {
  // A copy: cbor-x returns a view of a buffer that its next call may share.
  return Uint8Array.from(new Encoder(plainCbor).encode(canonical(value, '')));
}

/**
 * The value in the form that cbor-x encodes minimally: sorted Maps, bigint where it would choose a
 * float.
 */
function canonical(value: unknown, path: string): unknown {
  switch (typeof value) {
    case 'boolean':
      return value;
    case 'string':
      return wellFormed(value, path);
    case 'number':
      if (!Number.isSafeInteger(value)) throw new CborError(`${path || '/'}: ${value} is not a safe integer`);
      return value > 0xffff_ffff || value < -0x1_0000_0000 ? BigInt(value) : value;
    case 'object':
      if (value === null) return value;
      if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      if (Array.isArray(value)) return value.map((member, index) => canonical(member, `${path}/${index}`));
      if (isPlainObject(value)) return sortedMap(value, path);
  }
  throw new CborError(`${path || '/'}: a value of type ${typeof value} cannot be encoded`);
}

function sortedMap(object: Readonly<Record<string, unknown>>, path: string): Map<string, unknown> {
  const keys = Object.keys(object).filter((key) => object[key] !== undefined);
  // Sorting by encoded bytes is sorting by UTF-8 length first (the head grows with it), then by
  // UTF-8 bytes.
  const sorted = keys
    .map((key) => ({ key: wellFormed(key, path), utf8: Buffer.from(key) }))
    .sort((a, b) => a.utf8.length - b.utf8.length || Buffer.compare(a.utf8, b.utf8));
  return new Map(sorted.map(({ key }) => [key, canonical(object[key], `${path}/${key}`)]));
}

function wellFormed(text: string, path: string): string {
  if (/\p{Surrogate}/u.test(text)) throw new CborError(`${path || '/'}: the text has a lone surrogate`);
  return text;
}

function isPlainObject(value: object): value is Readonly<Record<string, unknown>> {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
