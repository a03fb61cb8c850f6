import { pointerTo, quote, SchemaFault, unexpected } from './fault.ts';
import type { JsonValue } from './types.ts';

/** Turns the JSON value at a pointer into a typed one, or throws a SchemaFault. */
export type Read<T> = (value: JsonValue, at: string) => T;

/** A list whose members must differ in one property. */
export interface Unique<T> {
  readonly by: (member: T) => string;
  /** What must differ, for the message: `label name` */
  readonly what: string;
}

/**
 * The members of one object. Refuses keys that are not in the schema: a limit under a misspelled
 * key would silently not be enforced. `null` stands for an absent optional member, as the reference
 * implementation writes it.
 */
export class Fields {
  private readonly object: { readonly [key: string]: JsonValue };
  private readonly at: string;

  constructor(value: JsonValue, at: string, keys: readonly string[]) {
    if (!isObject(value)) throw unexpected(at, 'an object', value);
    for (const key of Object.keys(value)) {
      if (keys.includes(key)) continue;
      const meant = keys.find((known) => known.toLowerCase() === key.toLowerCase());
      throw new SchemaFault(
        pointerTo(at, key),
        meant === undefined ? 'the key is not known' : `the key is not known, expected ${quote(meant)}`,
      );
    }
    this.object = value;
    this.at = at;
  }

  required<T>(key: string, read: Read<T>): T {
    const value = this.object[key];
    if (value === undefined) throw new SchemaFault(this.at, `the key ${quote(key)} is missing`);
    return read(value, pointerTo(this.at, key));
  }

  optional<T>(key: string, read: Read<T>): T | undefined {
    const value = this.object[key];
    return value === undefined || value === null ? undefined : read(value, pointerTo(this.at, key));
  }

  /** The list under `key`; absent is empty. */
  list<T>(key: string, read: Read<T>, unique?: Unique<T>): readonly T[] {
    return this.optional(key, listOf(read, unique)) ?? [];
  }

  /** The boolean under `key`; absent is false. */
  flag(key: string): boolean {
    return this.optional(key, boolean) ?? false;
  }

  has(key: string): boolean {
    return this.object[key] !== undefined && this.object[key] !== null;
  }
}

/** `{ [key]: value }`, or nothing when the value is undefined. */
export function present<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]: V });
}

export function isObject(value: JsonValue): value is { readonly [key: string]: JsonValue } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function listOf<T>(read: Read<T>, unique?: Unique<T>): Read<readonly T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) throw unexpected(at, 'a list', value);
    const seen = new Set<string>();
    return (value as readonly JsonValue[]).map((member, index) => {
      const result = read(member, pointerTo(at, index));
      if (unique !== undefined) {
        const key = unique.by(result);
        if (seen.has(key)) {
          throw new SchemaFault(pointerTo(at, index), `the ${unique.what} ${quote(key)} is there twice`);
        }
        seen.add(key);
      }
      return result;
    });
  };
}

export const boolean: Read<boolean> = (value, at) => {
  if (typeof value !== 'boolean') throw unexpected(at, 'true or false', value);
  return value;
};

export const text: Read<string> = (value, at) => {
  if (typeof value !== 'string') throw unexpected(at, 'a string', value);
  return value;
};

/** Text that the kernel reads as a C string: arguments, values of the environment. */
export const textWithoutNul: Read<string> = (value, at) => {
  const read = text(value, at);
  if (read.includes('\0')) throw unexpected(at, 'a string without NUL', value);
  return read;
};

/** An integer in `min … max`, both included. */
export function integer(min: number, max: number): Read<number> {
  return (value, at) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
      throw unexpected(at, `an integer from ${min} to ${max}`, value);
    }
    return value;
  };
}

/** Text that `matches`; `expected` names it in messages: `an AC Name` */
export function textThat<T extends string>(matches: (text: string) => text is T, expected: string): Read<T> {
  return (value, at) => {
    if (typeof value !== 'string' || !matches(value)) throw unexpected(at, expected, value);
    return value;
  };
}

/**
 * An absolute path of at most 4095 bytes (PATH_MAX without NUL). `..` is refused: no manifest needs
 * it, and it is how paths escape from a root.
 */
export const absolutePath: Read<string> = (value, at) => {
  const path = textWithoutNul(value, at);
  if (!path.startsWith('/')) throw unexpected(at, 'an absolute path', value);
  if (path.split('/').includes('..')) throw unexpected(at, 'a path without ".."', value);
  if (new TextEncoder().encode(path).length > 4095)
    throw unexpected(at, 'a path of at most 4095 bytes', value);
  return path;
};
