import { Refusal, type RefusalCode } from '../../core/refusal/index.ts';
import type { JsonValue } from './types.ts';

/**
 * A value that violates the schema. It stays inside this folder: `refuseFaults` turns it into a
 * refusal with the code of the document that was read.
 */
export class SchemaFault extends Error {
  constructor(
    /** JSON pointer (RFC 6901) of the value; empty for the whole document. */
    at: string,
    problem: string,
  ) {
    super(at === '' ? problem : `${at}: ${problem}`);
    this.name = 'SchemaFault';
  }
}

/** The fault of a value that is not what the schema expects. */
export function unexpected(at: string, expected: string, found: JsonValue): SchemaFault {
  return new SchemaFault(at, `expected ${expected}, found ${describe(found)}`);
}

/** The pointer of a member of the value at `at`. */
export function pointerTo(at: string, key: string | number): string {
  const token = typeof key === 'number' ? String(key) : key.replaceAll('~', '~0').replaceAll('/', '~1');
  // Escaped as in JSON, so that a key cannot start a line of its own in a log.
  return `${at}/${quote(token).slice(1, -1)}`;
}

/** Runs `read`; a schema fault becomes a refusal with `code` whose message starts with `what`. */
export function refuseFaults<T>(code: RefusalCode, what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SchemaFault)) throw error;
    throw new Refusal(code, `${what}: ${error.message}`);
  }
}

/** A hostile string for a message: quoted, escaped and shortened. */
export function quote(text: string): string {
  return JSON.stringify(clip(text));
}

function clip(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

function describe(value: JsonValue): string {
  if (typeof value === 'string') return quote(value);
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' && value !== null ? 'an object' : clip(String(value));
}
