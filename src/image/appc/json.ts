import { pointerTo, quote, SchemaFault } from './fault.ts';
import { exactNumber, isNumberLiteral } from './json-number.ts';
import type { JsonValue } from './types.ts';

/** Bounds on a document of unknown origin; all are required so that none can be forgotten. */
export interface JsonLimits {
  readonly maxBytes: number;
  /** Nesting of lists and objects; a scalar alone has depth 0. */
  readonly maxDepth: number;
  /** Values of every kind, members of lists and objects included. */
  readonly maxValues: number;
}

/**
 * Reads one RFC 8259 document, stricter than JSON.parse: duplicate keys, invalid UTF-8, a byte
 * order mark, lone surrogates and numbers that would lose digits are faults. Objects have no
 * prototype, so `__proto__` is a key like any other; integers past 2^53 are bigint.
 * docs/decisions/appc-json.md explains why no library is used.
 * @throws SchemaFault with the pointer of the value
 */
export function parseJson(bytes: Uint8Array, limits: JsonLimits): JsonValue {
  if (bytes.length > limits.maxBytes) {
    throw new SchemaFault('', `expected at most ${limits.maxBytes} bytes, found ${bytes.length}`);
  }
  return new JsonReader(decodeUtf8(bytes), limits).document();
}

function decodeUtf8(bytes: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new SchemaFault('', 'expected UTF-8, found other bytes');
  }
  if (text.startsWith('\ufeff')) throw new SchemaFault('', 'expected JSON, found a byte order mark');
  return text;
}

class JsonReader {
  private readonly text: string;
  private readonly limits: JsonLimits;
  private position = 0;
  private values = 0;

  constructor(text: string, limits: JsonLimits) {
    this.text = text;
    this.limits = limits;
  }

  document(): JsonValue {
    this.skipSpace();
    const value = this.value('', 0);
    this.skipSpace();
    if (this.position < this.text.length) throw this.wrong('', 'the end of the document');
    return value;
  }

  private value(at: string, depth: number): JsonValue {
    if (++this.values > this.limits.maxValues) {
      throw new SchemaFault(at, `expected at most ${this.limits.maxValues} values in one document`);
    }
    switch (this.text[this.position]) {
      case '{':
        return this.object(at, depth + 1);
      case '[':
        return this.list(at, depth + 1);
      case '"':
        return this.string(at);
      default:
        return this.scalar(at);
    }
  }

  private object(at: string, depth: number): JsonValue {
    const result = Object.create(null) as Record<string, JsonValue>;
    this.members('}', at, depth, () => {
      if (this.text[this.position] !== '"') throw this.wrong(at, 'a key in double quotes');
      const key = this.string(at);
      if (key in result) throw new SchemaFault(pointerTo(at, key), 'the key is there twice');
      this.skipSpace();
      if (!this.take(':')) throw this.wrong(pointerTo(at, key), 'a colon');
      this.skipSpace();
      result[key] = this.value(pointerTo(at, key), depth);
    });
    return result;
  }

  private list(at: string, depth: number): JsonValue {
    const result: JsonValue[] = [];
    this.members(']', at, depth, () => result.push(this.value(pointerTo(at, result.length), depth)));
    return result;
  }

  /** The part between the brackets, which lists and objects share. */
  private members(end: string, at: string, depth: number, member: () => void): void {
    if (depth > this.limits.maxDepth) {
      throw new SchemaFault(at, `expected at most ${this.limits.maxDepth} levels of nesting`);
    }
    this.position += 1;
    this.skipSpace();
    if (this.take(end)) return;
    for (;;) {
      member();
      this.skipSpace();
      if (this.take(end)) return;
      if (!this.take(',')) throw this.wrong(at, `a comma or ${quote(end)}`);
      this.skipSpace();
    }
  }

  private string(at: string): string {
    const start = this.position;
    let end = start + 1;
    while (end < this.text.length && this.text[end] !== '"') end += this.text[end] === '\\' ? 2 : 1;
    this.position = end + 1;
    let value: unknown;
    try {
      // JSON.parse checks one string completely: escapes, control characters, the closing quote.
      value = JSON.parse(this.text.slice(start, this.position));
    } catch {
      this.position = start;
      throw this.wrong(at, 'a string in double quotes without control characters');
    }
    if (typeof value !== 'string') throw this.wrong(at, 'a string');
    // RFC 8259 §8.2: half a surrogate pair has no UTF-8 form, so the text could not be written
    // again.
    if (/\p{Surrogate}/u.test(value))
      throw new SchemaFault(at, 'expected Unicode text, found a lone surrogate');
    return value;
  }

  private scalar(at: string): JsonValue {
    const token = /[^\s,:[\]{}"]*/y;
    token.lastIndex = this.position;
    const literal = token.exec(this.text)?.[0] ?? '';
    const value = words.get(literal);
    if (value === undefined && !isNumberLiteral(literal)) {
      throw this.wrong(at, 'a JSON value');
    }
    this.position += literal.length;
    return value === undefined ? exactNumber(literal, at) : value;
  }

  private take(character: string): boolean {
    if (this.text[this.position] !== character) return false;
    this.position += 1;
    return true;
  }

  private skipSpace(): void {
    while (space.has(this.text[this.position])) this.position += 1;
  }

  private wrong(at: string, expected: string): SchemaFault {
    const found = this.text[this.position];
    const what = found === undefined ? 'the end of the document' : quote(found);
    return new SchemaFault(at, `expected ${expected}, found ${what} at character ${this.position}`);
  }
}

const space: ReadonlySet<string | undefined> = new Set([' ', '\t', '\n', '\r']);
const words: ReadonlyMap<string, JsonValue> = new Map([
  ['true', true],
  ['false', false],
  ['null', null],
] as const);
