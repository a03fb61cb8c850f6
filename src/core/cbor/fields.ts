import { CborError, type CborValue } from './value.ts';

/**
 * Turns one decoded field into a typed value. `path` is a JSON pointer for error messages. Readers
 * throw `CborError`; whatever a domain parser throws inside `parsed` is wrapped into one.
 */
export type Reader<T> = (value: CborValue, path: string) => T;

/** What a reader of `map` or `list` shows of itself, to readers that skip the decoded value. */
export interface Shape {
  readonly fields?: Fields;
  readonly members?: { readonly reader: Reader<unknown>; readonly min?: number; readonly max: number };
}

/** A key of a map that may be absent. */
export interface OptionalField<T> {
  readonly optional: Reader<T>;
}

export type Fields = Readonly<Record<string, Reader<unknown> | OptionalField<unknown>>>;

/** The object that `map(fields)` reads. */
export type FieldsOf<F extends Fields> = {
  readonly [K in keyof F as F[K] extends Reader<unknown> ? K : never]: F[K] extends Reader<infer T>
    ? T
    : never;
} & {
  readonly [K in keyof F as F[K] extends OptionalField<unknown> ? K : never]?: F[K] extends OptionalField<
    infer T
  >
    ? T
    : never;
};

/** Reads a whole message; `what` names it in errors. */
export function readFields<T>(value: CborValue, reader: Reader<T>, what: string): T {
  return reader(value, what);
}

/** A map with exactly these keys: a missing or an unknown one is refused. */
export function map<F extends Fields>(fields: F): Reader<FieldsOf<F>> {
  const entries = Object.entries(fields);
  const read: Reader<FieldsOf<F>> = (value, path) => {
    const object = asMap(value, path);
    for (const key of Object.keys(object)) {
      if (!Object.hasOwn(fields, key))
        throw new CborError(`${path}: the key ${JSON.stringify(key)} is not known`);
    }
    const result: Record<string, unknown> = {};
    for (const [key, field] of entries) {
      const member = object[key];
      if (member !== undefined) {
        result[key] = (typeof field === 'function' ? field : field.optional)(member, `${path}/${key}`);
      } else if (typeof field === 'function') {
        throw new CborError(`${path}: the key ${JSON.stringify(key)} is missing`);
      }
    }
    return result as FieldsOf<F>;
  };
  return Object.assign(read, { fields });
}

/** A map whose key `tag` selects its reader among `cases`. */
export function tagged<Cases extends Readonly<Record<string, Reader<unknown>>>>(
  tag: string,
  cases: Cases,
): Reader<Cases[keyof Cases] extends Reader<infer T> ? T : never> {
  return (value, path) => {
    const name = asMap(value, path)[tag];
    const reader = typeof name === 'string' && Object.hasOwn(cases, name) ? cases[name] : undefined;
    if (reader === undefined)
      throw new CborError(`${path}/${tag}: not one of ${Object.keys(cases).join(', ')}`);
    return reader(value, path) as Cases[keyof Cases] extends Reader<infer T> ? T : never;
  };
}

/** Marks a key of `map` that may be absent. */
export function optional<T>(reader: Reader<T>): OptionalField<T> {
  return { optional: reader };
}

/** A map with free keys, at most `maxEntries`; the result has no prototype. */
export function record<T>(reader: Reader<T>, maxEntries: number): Reader<Readonly<Record<string, T>>> {
  return (value, path) => {
    const entries = Object.entries(asMap(value, path));
    if (entries.length > maxEntries) throw new CborError(`${path}: more than ${maxEntries} entries`);
    const result = Object.create(null) as Record<string, T>;
    for (const [key, member] of entries) result[key] = reader(member, `${path}/${shownKey(key)}`);
    return result;
  };
}

/** The beginning of a foreign key without control characters, to show in a message. */
export function shownKey(key: string): string {
  return key.replace(/\p{C}/gu, '?').slice(0, 100);
}

/** An array of `min` to `max` members. */
export function list<T>(reader: Reader<T>, bounds: { min?: number; max: number }): Reader<readonly T[]> {
  const read: Reader<readonly T[]> = (value, path) => {
    if (!Array.isArray(value)) throw new CborError(`${path}: not an array`);
    const members = value as readonly CborValue[];
    if (members.length > bounds.max) throw new CborError(`${path}: more than ${bounds.max} members`);
    if (members.length < (bounds.min ?? 0))
      throw new CborError(`${path}: fewer than ${bounds.min ?? 0} members`);
    return members.map((member, index) => reader(member, `${path}/${index}`));
  };
  return Object.assign(read, { members: { reader, ...bounds } });
}

/** An integer in `min … max`, both included. */
export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): Reader<number> {
  return (value, path) => {
    if (typeof value !== 'number' || value < min || value > max) {
      throw new CborError(`${path}: not an integer from ${min} to ${max}`);
    }
    return value;
  };
}

/** Text of at most `maxBytes` bytes of UTF-8. */
export function text(maxBytes: number): Reader<string> {
  return (value, path) => {
    if (typeof value !== 'string') throw new CborError(`${path}: not text`);
    if (Buffer.byteLength(value) > maxBytes) throw new CborError(`${path}: longer than ${maxBytes} bytes`);
    return value;
  };
}

/** A byte string of at most `maxBytes` bytes. */
export function bytes(maxBytes: number): Reader<Uint8Array> {
  return (value, path) => {
    if (!(value instanceof Uint8Array)) throw new CborError(`${path}: not a byte string`);
    if (value.length > maxBytes) throw new CborError(`${path}: longer than ${maxBytes} bytes`);
    return value;
  };
}

export const boolean: Reader<boolean> = (value, path) => {
  if (typeof value !== 'boolean') throw new CborError(`${path}: neither true nor false`);
  return value;
};

/** One of a few constants, compared by identity. */
export function oneOf<const T extends string | number | boolean | null>(...values: readonly T[]): Reader<T> {
  return (value, path) => {
    const found = values.find((candidate) => candidate === value);
    if (found === undefined) throw new CborError(`${path}: not one of ${values.join(', ')}`);
    return found;
  };
}

/**
 * Passes what `reader` reads to a parser of the domain (a name, an address); its error becomes the
 * cause.
 */
export function parsed<T, U>(reader: Reader<T>, parse: (value: T) => U): Reader<U> {
  return (value, path) => {
    const raw = reader(value, path);
    try {
      return parse(raw);
    } catch (cause) {
      throw new CborError(`${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  };
}

function asMap(value: CborValue, path: string): Readonly<Record<string, CborValue>> {
  if (value === null || typeof value !== 'object' || Array.isArray(value) || value instanceof Uint8Array) {
    throw new CborError(`${path}: not a map`);
  }
  return value as Readonly<Record<string, CborValue>>;
}
