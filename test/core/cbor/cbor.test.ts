import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CborError } from '../../../src/core/cbor/value.ts';
import { decodeCbor } from '../../../src/core/cbor/decode.ts';
import { encodeCbor } from '../../../src/core/cbor/encode.ts';
import { readCbor } from '../../../src/core/cbor/read.ts';

const limits = { maxBytes: 4096, maxDepth: 8 };
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');
const fromHex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));

const values = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.integer({ min: -300, max: 70_000 }),
    fc.string({ unit: 'binary' }),
    fc.uint8Array(),
    fc.array(tie('any'), { maxLength: 4 }),
    fc.dictionary(fc.string({ unit: 'binary' }), tie('any'), { maxKeys: 4, noNullPrototype: false }),
  ),
}));

describe('deterministic encoding (RFC 8949 §4.2.1) [C10]', () => {
  it('returns every value that was encoded', () => {
    fc.assert(
      fc.property(values.any, (value) => {
        const wide = { maxBytes: 1 << 20, maxDepth: 16 };
        expect(decodeCbor(encodeCbor(value), wide)).toEqual(value);
        expect(readCbor(encodeCbor(value), wide)).toEqual(value);
      }),
    );
  });

  it('does not depend on the order in which keys were added', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.nat()), (object) => {
        const reversed = Object.fromEntries(Object.entries(object).reverse());
        expect(hex(encodeCbor(reversed))).toBe(hex(encodeCbor(object)));
      }),
    );
  });

  it.each([
    // RFC 8949 appendix A
    [0, '00'],
    [-0, '00'],
    [23, '17'],
    [24, '1818'],
    [255, '18ff'],
    [256, '190100'],
    [1_000_000, '1a000f4240'],
    [0xffff_ffff, '1affffffff'],
    [0x1_0000_0000, '1b0000000100000000'],
    [1_000_000_000_000, '1b000000e8d4a51000'],
    [Number.MAX_SAFE_INTEGER, '1b001fffffffffffff'],
    [-1, '20'],
    [-0x1_0000_0000, '3affffffff'],
    [-0x1_0000_0001, '3b0000000100000000'],
    [Number.MIN_SAFE_INTEGER, '3b001ffffffffffffe'],
    [false, 'f4'],
    [true, 'f5'],
    [null, 'f6'],
    ['ü', '62c3bc'],
    ['x'.repeat(24), `7818${'78'.repeat(24)}`],
    ['ü'.repeat(13), `781a${'c3bc'.repeat(13)}`],
    [Uint8Array.of(1, 2, 3, 4), '4401020304'],
    [[1, [2, 3]], '8201820203'],
    [{}, 'a0'],
    [{ b: 2, aa: 3, a: 1 }, 'a3616101616202626161 03'.replace(' ', '')],
    [{ a: undefined, b: 1 }, 'a1616201'],
  ])('writes %j as %s', (value, expected) => {
    expect(hex(encodeCbor(value))).toBe(expected);
  });

  it.each([
    ['a float', 1.5],
    ['an integer past 2^53', 2 ** 53],
    ['NaN', Number.NaN],
    ['a bigint', 1n],
    ['a date', new Date(0)],
    ['a Map', new Map()],
    ['undefined in an array', [undefined]],
    ['a lone surrogate', '\ud800'],
    ['a key with a lone surrogate', { '\udc00': 1 }],
    ['a function', { a: () => 1 }],
  ])('refuses to write %s', (_name, value) => {
    expect(() => encodeCbor(value)).toThrow(CborError);
  });

  it('returns bytes that later calls do not overwrite', () => {
    const first = encodeCbor({ a: 'first' });
    const before = hex(first);
    for (let index = 0; index < 1000; index++) encodeCbor({ a: `other ${index}` });
    expect(hex(first)).toBe(before);
  });
});

const decoders = [
  { name: 'decodeCbor', decode: decodeCbor },
  { name: 'readCbor', decode: readCbor },
];

/** What `decode` gives for the bytes; every refusal is the same. */
function verdict(decode: typeof decodeCbor, bytes: Uint8Array): unknown {
  try {
    return { value: decode(bytes, { maxBytes: 4096, maxDepth: 6 }) };
  } catch (error) {
    if (!(error instanceof CborError)) throw error;
    return 'refused';
  }
}

/** Bytes that are nearly a value: some are replaced, removed, doubled or set into one another. */
const nearlyValues = fc
  .tuple(
    values.any.map(encodeCbor),
    fc.array(fc.tuple(fc.nat(), fc.nat(2), fc.oneof(fc.integer({ min: 0, max: 255 }), heads())), {
      maxLength: 3,
    }),
  )
  .map(([bytes, changes]) => {
    const changed = [...bytes];
    for (const [where, remove, byte] of changes) changed.splice(where % (changed.length + 1), remove, byte);
    return Uint8Array.from(changed);
  });

/** Initial bytes at the borders of what is allowed. */
function heads(): fc.Arbitrary<number> {
  const shorts = [0, 1, 2, 23, 24, 25, 26, 27, 28, 31];
  return fc.tuple(fc.nat(7), fc.constantFrom(...shorts)).map(([type, short]) => (type << 5) | short);
}

describe('both decoders [C10]', () => {
  it.each([
    ['noise', fc.uint8Array({ maxLength: 64 })],
    ['values that were changed', nearlyValues],
    ['heads', fc.array(heads(), { maxLength: 24 }).map((bytes) => Uint8Array.from(bytes))],
    [
      'text',
      fc.uint8Array({ minLength: 1, maxLength: 6 }).map((utf8) => Uint8Array.of(0x60 + utf8.length, ...utf8)),
    ],
    [
      'integers of eight bytes',
      fc
        .tuple(fc.constantFrom(0x1b, 0x3b), fc.bigInt({ min: 2n ** 53n - 3n, max: 2n ** 53n + 3n }))
        .map(([head, value]) =>
          Uint8Array.from([head, ...Buffer.from(value.toString(16).padStart(16, '0'), 'hex')]),
        ),
    ],
  ] as const)('give the same value or refuse alike: %s', (_name, inputs) => {
    fc.assert(
      fc.property(inputs as fc.Arbitrary<Uint8Array>, (bytes) => {
        expect(verdict(readCbor, bytes)).toEqual(verdict(decodeCbor, bytes));
      }),
      { numRuns: 5000 },
    );
  });
});

describe.each(decoders)('hostile bytes are refused by $name [C10]', ({ decode }) => {
  it.each([
    ['nothing', ''],
    ['trailing bytes', '00 00'],
    ['a tag', 'c0 00'],
    ['a self-described tag', 'd9d9f7 00'],
    ['a record extension of the library', 'd9dfff 83 01 80 80'],
    ['a bundled string of the library', 'd9dff9 82 1a00000000 80'],
    ['a big number tag', 'c2 41 01'],
    ['an array of indefinite length', '9f ff'],
    ['text of indefinite length', '7f 6161 ff'],
    ['a map of indefinite length', 'bf ff'],
    ['a lone break', 'ff'],
    ['reserved additional information', '1c'],
    ['a half float', 'f93c00'],
    ['a float', 'fa3f800000'],
    ['a double', 'fb3ff0000000000000'],
    ['undefined', 'f7'],
    ['an unassigned simple value', 'f0'],
    ['a two-byte simple value', 'f8 20'],
    ['true in two bytes', 'f8 15'],
    ['an integer in more bytes than needed', '18 17'],
    ['a two-byte integer in four bytes', '1a 0000 ffff'],
    ['a small integer in eight bytes', '1b 0000000000000001'],
    ['an integer past 2^53', '1b 0020000000000000'],
    ['a negative integer past 2^53', '3b 001fffffffffffff'],
    ['a length in more bytes than needed', '78 01 61'],
    ['duplicate keys', 'a2 6161 01 6161 02'],
    ['unsorted keys', 'a2 6162 01 6161 02'],
    ['keys sorted by characters and not by length', 'a2 626161 01 6162 02'],
    ['a key that is a number', 'a1 01 02'],
    ['a key that is bytes', 'a1 4161 02'],
    ['a key that is an array', 'a1 80 02'],
    ['invalid UTF-8', '62 c328'],
    ['overlong UTF-8', '62 c080'],
    ['a surrogate in UTF-8', '63 eda080'],
    ['text that ends early', '65 6161'],
    ['bytes that end early', '58 ff 00'],
    ['a head that ends early', '19 01'],
    ['an array that ends early', '82 01'],
    ['a map without its last value', 'a1 6161'],
    ['an array header that promises 2^32 members', '9a ffffffff'],
    ['an array header that promises 2^64 members', '9b ffffffffffffffff'],
    ['a map header that promises 2^63 entries', 'bb 8000000000000000'],
    ['a text header that promises 2^40 bytes', '7b 0000010000000000'],
    ['nesting past the limit', '818181818181818181 00'],
  ])('%s', (_name, text) => {
    expect(() => decode(fromHex(text), limits)).toThrow(CborError);
  });

  it('a message of a megabyte of nested arrays does not exhaust the stack', () => {
    const deep = new Uint8Array(1 << 20).fill(0x81);
    expect(() => decode(deep, { maxBytes: 1 << 20, maxDepth: 1 << 20 })).toThrow(CborError);
  });

  it('a message longer than its limit is refused unread', () => {
    const long = encodeCbor(new Uint8Array(limits.maxBytes));
    expect(() => decode(long, limits)).toThrow(/more than 4096/);
  });

  it('any noise either decodes to what encodes to the same bytes or is refused as such', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (noise) => {
        try {
          expect(hex(encodeCbor(decode(noise, limits)))).toBe(hex(noise));
        } catch (error) {
          if (!(error instanceof CborError)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe.each(decoders)('decoded values of $name', ({ decode }) => {
  it('treat __proto__ and constructor as ordinary keys', () => {
    const value = decode(fromHex('a1 69 5f5f70726f746f5f5f a1 6161 01'), limits) as Record<string, unknown>;
    expect(Object.getPrototypeOf(value)).toBeNull();
    expect(Object.keys(value)).toEqual(['__proto__']);
    expect(({} as Record<string, unknown>)['a']).toBeUndefined();
  });

  it('accept nesting up to the limit', () => {
    expect(decode(fromHex('8181818181818181 00'), limits)).toEqual([[[[[[[[0]]]]]]]]);
  });

  it('do not share memory with the message and leave it unchanged', () => {
    const message = encodeCbor({ a: Uint8Array.of(1, 2, 3) });
    const value = decode(message, limits) as { a: Uint8Array };
    expect(Object.keys(message)).toEqual(Object.keys(Uint8Array.from(message)));
    message.fill(0);
    expect(value.a).toEqual(Uint8Array.of(1, 2, 3));
    expect(value.a.constructor).toBe(Uint8Array);
  });

  it('can be read from the middle of a larger buffer', () => {
    const message = encodeCbor({ a: [1, 'x'] });
    const frame = new Uint8Array(message.length + 20).fill(0xff);
    frame.set(message, 7);
    expect(decode(frame.subarray(7, 7 + message.length), limits)).toEqual({ a: [1, 'x'] });
  });
});
