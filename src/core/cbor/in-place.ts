import { encodeCbor } from './encode.ts';
import { type Fields, type Reader, type Shape } from './fields.ts';
import { initialByte, readArgument, readCbor, readItem, type Source } from './read.ts';
import { CborError, type CborLimits } from './value.ts';

/** Reads the value at `source.at` without a path. @throws {CborError} whose text is not shown */
type InPlace = (source: Source, depthLeft: number) => unknown;

const never = 'not as expected';

/**
 * As `readCbor` and then `reader`, for messages of which thousands are read at once. The maps and
 * lists that `reader` describes are read from the bytes, without decoded maps between: keys are
 * compared with the expected ones, in the order of their encoding. That leaves out what
 * `readCbor` does for any value, but refuses all that it refuses. Whatever is refused here is read
 * again by `readCbor` and `reader`, which alone decide and name the reason.
 *
 * @param what names the message in errors
 * @throws {CborError} as `readCbor` and `reader`
 */
export function inPlace<T>(reader: Reader<T>, limits: CborLimits, what: string): (bytes: Uint8Array) => T {
  const read = inPlaceOf(reader);
  return (bytes) => {
    if (bytes.length <= limits.maxBytes) {
      const source = { bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), at: 0 };
      try {
        const value = read(source, limits.maxDepth) as T;
        if (source.at === bytes.length) return value;
      } catch (error) {
        if (!(error instanceof CborError)) throw error;
      }
    }
    return reader(readCbor(bytes, limits), what);
  };
}

function inPlaceOf(reader: Reader<unknown> & Shape): InPlace {
  if (reader.fields !== undefined) return mapInPlace(reader.fields);
  if (reader.members !== undefined) return listInPlace(reader.members);
  return (source, depthLeft) => reader(readItem(source, depthLeft), '');
}

function listInPlace({ reader, min = 0, max }: NonNullable<Shape['members']>): InPlace {
  const read = inPlaceOf(reader);
  return (source, depthLeft) => {
    const initial = initialByte(source);
    const count = initial >> 5 === 4 ? readArgument(source, initial) : -1;
    if (count < min || count > max || depthLeft === 0) throw new CborError(never);
    const members: unknown[] = [];
    for (let index = 0; index < count; index++) members.push(read(source, depthLeft - 1));
    return members;
  };
}

interface Field {
  readonly name: string;
  /** The key as it is encoded. */
  readonly key: Uint8Array;
  readonly isRequired: boolean;
  readonly read: InPlace;
}

function mapInPlace(described: Fields): InPlace {
  const names = Object.keys(described);
  const fields = Object.entries(described)
    .map(([name, field]): Field => {
      const isRequired = typeof field === 'function';
      return {
        name,
        key: encodeCbor(name),
        isRequired,
        read: inPlaceOf(isRequired ? field : field.optional),
      };
    })
    .sort((one, other) => Buffer.compare(one.key, other.key));
  // Objects get their keys in the order of `described`, as `map` adds them.
  const order = names.map((name) => fields.findIndex((field) => field.name === name));
  return (source, depthLeft) => {
    const initial = initialByte(source);
    const count = initial >> 5 === 5 ? readArgument(source, initial) : -1;
    if (count < 0 || depthLeft === 0) throw new CborError(never);
    const values: unknown[] = new Array(fields.length);
    let left = count;
    for (let index = 0; index < fields.length; index++) {
      const field = fields[index] as Field;
      if (left > 0 && isNext(source, field.key)) {
        source.at += field.key.length;
        values[index] = field.read(source, depthLeft - 1);
        left -= 1;
      } else if (field.isRequired) throw new CborError(never);
    }
    // A key that is not known, a duplicate, or one out of order.
    if (left > 0) throw new CborError(never);
    const result: Record<string, unknown> = {};
    for (let index = 0; index < order.length; index++) {
      const value = values[order[index] as number];
      if (value !== undefined) result[names[index] as string] = value;
    }
    return result;
  };
}

function isNext({ bytes, at }: Source, key: Uint8Array): boolean {
  // The last byte first: many keys of one length begin alike.
  for (let index = key.length - 1; index >= 0; index--) if (bytes[at + index] !== key[index]) return false;
  return true;
}
