import { describe, expect, it } from 'vitest';
import { jsonText } from '../../../src/image/appc/json-text.ts';
import { parseJson, type JsonLimits } from '../../../src/image/appc/json.ts';

const limits: JsonLimits = { maxBytes: 4096, maxDepth: 8, maxValues: 100 };
const read = (text: string): unknown => parseJson(new TextEncoder().encode(text), limits);

describe('[A2.13] JSON documents of unknown origin (ours; RFC 8259)', () => {
  it.each([
    ['null', null],
    [' true ', true],
    ['\t[1,\n2 , 3]\r\n', [1, 2, 3]],
    ['{"a":{"b":[]}}', { a: { b: [] } }],
    ['"\\u00e9\\n\\"\\\\/"', 'é\n"\\/'],
    ['"\\ud83d\\ude00"', '😀'],
    ['-0', 0],
    ['0.25', 0.25],
    ['-1.5e-3', -0.0015],
    ['1e3', 1000],
    ['0e999', 0],
    ['9007199254740991', 9007199254740991],
    ['9007199254740993', 9007199254740993n],
    ['-9223372036854775808', -9223372036854775808n],
    ['1e20', 100000000000000000000n],
  ])('reads %j', (text, value) => {
    expect(read(text)).toEqual(value);
  });

  it.each([
    ['', 'the end of the document'],
    ['{', 'a key in double quotes'],
    ['[1', 'a comma or "]"'],
    ['[1,]', 'a JSON value'],
    ['{"a":1,}', 'a key in double quotes'],
    ['{a:1}', 'a key in double quotes'],
    ["{'a':1}", 'a key in double quotes'],
    ['{"a" 1}', '/a: expected a colon'],
    ['[1] 2', 'the end of the document'],
    ['// note\n1', 'a JSON value'],
    ['01', 'a JSON value'],
    ['+1', 'a JSON value'],
    ['.5', 'a JSON value'],
    ['1.', 'a JSON value'],
    ['NaN', 'a JSON value'],
    ['Infinity', 'a JSON value'],
    ['nulL', 'a JSON value'],
    ['undefined', 'a JSON value'],
    ['\u00a01', 'a JSON value'],
    ['"a', 'a string'],
    ['"a\nb"', 'control characters'],
    ['"\\x41"', 'a string'],
    ['"\\u12"', 'a string'],
    ['"a\\', 'a string'],
  ])('refuses %j, which is not RFC 8259', (text, problem) => {
    expect(() => read(text)).toThrow(problem);
  });

  it.each([
    ['{"a":1,"a":1}', '/a: the key is there twice'],
    ['{"a":[{"b":1,"c":2,"b":3}]}', '/a/0/b: the key is there twice'],
    ['{"a":1,"\\u0061":2}', '/a: the key is there twice'],
    ['{"x/y~":{"k":1,"k":2}}', '/x~1y~0/k: the key is there twice'],
  ])('[A2.12] refuses the doubled key of %j at any depth', (text, problem) => {
    expect(() => read(text)).toThrow(problem);
  });

  it('treats __proto__ and constructor as ordinary keys', () => {
    const value = read('{"__proto__":{"polluted":1},"constructor":2}') as Record<string, unknown>;
    expect(Object.keys(value)).toEqual(['__proto__', 'constructor']);
    expect(Object.getPrototypeOf(value)).toBeNull();
    expect(value.polluted).toBeUndefined();
  });

  it.each([
    ['0.1234567890123456789', 'a fraction of at most 15 digits'],
    ['1e-400', 'a fraction of at most 15 digits'],
    ['1e400', 'at most 64 digits'],
    ['9'.repeat(65), 'at most 64 digits'],
    [`1${'0'.repeat(2000)}1`, 'at most 64 digits'],
  ])('refuses %j, which a number cannot hold exactly', (text, problem) => {
    expect(() => read(text)).toThrow(problem);
  });

  it('refuses bytes that are not UTF-8, a byte order mark and half a surrogate pair', () => {
    expect(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22), limits)).toThrow('expected UTF-8');
    expect(() => parseJson(Uint8Array.of(0x22, 0xc0, 0x80, 0x22), limits)).toThrow('expected UTF-8');
    expect(() => parseJson(Uint8Array.of(0xef, 0xbb, 0xbf, 0x31), limits)).toThrow('a byte order mark');
    expect(() => read('"\\ud800"')).toThrow('a lone surrogate');
    expect(() => read('{"\\udc00":1}')).toThrow('a lone surrogate');
  });

  it('enforces its limits on bytes, nesting and values', () => {
    expect(read('['.repeat(8) + ']'.repeat(8))).toBeDefined();
    expect(() => read('['.repeat(9) + ']'.repeat(9))).toThrow('at most 8 levels of nesting');
    expect(() => read('{"a":'.repeat(9))).toThrow('/a/a/a/a/a/a/a/a: expected at most 8 levels');
    expect(() => read(' '.repeat(4097))).toThrow('at most 4096 bytes, found 4097');
    expect(read(`[${'0,'.repeat(98)}0]`)).toHaveLength(99);
    expect(() => read(`[${'0,'.repeat(99)}0]`)).toThrow('at most 100 values');
  });

  it('escapes line breaks of a hostile key in a message', () => {
    expect(() => read('{"a\\nb":1,"a\\nb":2}')).toThrow('/a\\nb: the key');
  });
});

describe('[A3.18] JSON text', () => {
  it('is always the same for the same value: no spaces, keys in their order, integers in full', () => {
    expect(jsonText({ b: [1, 2n ** 70n], a: { skipped: undefined, 'é"': null } })).toBe(
      '{"b":[1,1180591620717411303424],"a":{"é\\"":null}}',
    );
  });
});
