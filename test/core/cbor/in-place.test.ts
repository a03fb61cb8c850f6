import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeCbor } from '../../../src/core/cbor/encode.ts';
import { boolean, integer, list, map, oneOf, optional, tagged, text } from '../../../src/core/cbor/fields.ts';
import { inPlace } from '../../../src/core/cbor/in-place.ts';
import { readCbor } from '../../../src/core/cbor/read.ts';
import { CborError } from '../../../src/core/cbor/value.ts';

const limits = { maxBytes: 400, maxDepth: 3 };

const reader = map({
  name: text(30),
  b: optional(integer(-5, 70_000)),
  up: boolean,
  aa: optional(integer(0)),
  members: list(map({ id: text(8), n: optional(integer(0)) }), { min: 1, max: 3 }),
  end: optional(tagged('phase', { done: map({ phase: oneOf('done') }) })),
});

const messages = fc.record(
  {
    name: fc.string({ unit: 'grapheme', maxLength: 8 }),
    b: fc.integer({ min: -5, max: 70_000 }),
    up: fc.boolean(),
    aa: fc.constantFrom(0, 23, 24, 255, 256, 2 ** 32, Number.MAX_SAFE_INTEGER),
    members: fc.array(fc.record({ id: fc.string({ maxLength: 8 }), n: fc.nat() }, { requiredKeys: ['id'] }), {
      minLength: 1,
      maxLength: 3,
    }),
    end: fc.constant({ phase: 'done' }),
  },
  { requiredKeys: ['name', 'up', 'members'] },
);

/** What a decoder gives, with the order of keys, or its words. */
function verdict(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): string {
  try {
    return JSON.stringify(decode(bytes));
  } catch (error) {
    if (!(error instanceof CborError)) throw error;
    return `refused: ${error.message}`;
  }
}

const fast = inPlace(reader, limits, 'message');
const slow = (bytes: Uint8Array): unknown => reader(readCbor(bytes, limits), 'message');
const compare = (bytes: Uint8Array): void => expect(verdict(fast, bytes)).toBe(verdict(slow, bytes));

describe('reading in place', () => {
  it('reads a message without the decoded maps between', () => {
    // A reader of the whole value would see a map; the leaves see only their own values.
    const seen: unknown[] = [];
    const leaf = (value: unknown): unknown => (seen.push(value), value);
    inPlace(map({ a: map({ b: leaf }) }), limits, 'message')(encodeCbor({ a: { b: 1 } }));
    expect(seen).toEqual([1]);
  });

  it('gives the same values and the same refusals as reading the decoded value', () => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.nat(2), fc.integer({ min: 0, max: 255 })), {
      maxLength: 2,
    });
    fc.assert(
      fc.property(messages, changes, (message, changed) => {
        const bytes = [...encodeCbor(message)];
        compare(Uint8Array.from(bytes));
        for (const [at, remove, byte] of changed) bytes.splice(at % (bytes.length + 1), remove, byte);
        compare(Uint8Array.from(bytes));
      }),
      { numRuns: 5000 },
    );
  });

  const whole = { name: 'a', up: true, members: [{ id: 'x' }] };
  const hexOf = (value: unknown): string => Buffer.from(encodeCbor(value)).toString('hex');
  const up = '627570f5';
  it.each<[string, string, RegExp]>([
    ['an unknown key', hexOf({ ...whole, zz: 1 }), /the key "zz" is not known/],
    ['a missing key', hexOf({ name: 'a', up: true }), /the key "members" is missing/],
    [
      'a key twice',
      hexOf(whole)
        .replace(/^a3/, 'a4')
        .replace(up, up + up),
      /duplicate or unsorted/,
    ],
    ['keys out of order', `a3646e616d656161${up}676d656d6265727381a16269646178`, /duplicate or unsorted/],
    ['a longer head than needed', hexOf(whole).replace(up, '78027570f5'), /not in its shortest form/],
    ['a map of indefinite length', hexOf(whole).replace(/^a3/, 'bf'), /indefinite length/],
    ['a map that ends early', hexOf(whole).replace(/^a3/, 'a4'), /missing at byte/],
    ['bytes behind it', `${hexOf(whole)}00`, /1 bytes follow the value/],
    ['invalid UTF-8', hexOf(whole).replace('6161', '61ff'), /not valid UTF-8/],
    ['too many members', hexOf({ ...whole, members: Array(4).fill({ id: 'x' }) }), /more than 3 members/],
    ['no member', hexOf({ ...whole, members: [] }), /fewer than 1 members/],
    ['something else than a map', hexOf([]), /not a map/],
    ['a message that is too long', hexOf({ ...whole, name: 'a'.repeat(500) }), /more than 400/],
  ])('refuses %s', (_name, hex, words) => {
    const bytes = Buffer.from(hex, 'hex');
    expect(() => fast(bytes)).toThrow(words);
    compare(bytes);
  });

  it('refuses what is nested deeper than the limit', () => {
    const shallow = inPlace(reader, { maxBytes: 400, maxDepth: 2 }, 'message');
    expect(() => shallow(encodeCbor(whole))).toThrow(/nested too deep/);
  });
});
