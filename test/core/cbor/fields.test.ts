import { describe, expect, it } from 'vitest';
import {
  boolean,
  bytes,
  integer,
  list,
  map,
  oneOf,
  optional,
  parsed,
  readFields,
  text,
} from '../../../src/core/cbor/fields.ts';
import { CborError, type CborValue } from '../../../src/core/cbor/value.ts';

const reader = map({
  name: parsed(text(8), (name) => {
    if (name === 'bad') throw new RangeError('bad is not a name');
    return name.toUpperCase();
  }),
  size: integer(0, 10),
  data: bytes(2),
  flags: list(boolean, { min: 1, max: 2 }),
  mode: oneOf('a', 'b', null),
  note: optional(text(4)),
});

const good: Record<string, CborValue> = {
  name: 'x',
  size: 3,
  data: Uint8Array.of(1),
  flags: [true],
  mode: null,
};

describe('typed readers of decoded maps [C10]', () => {
  it('return a typed object without absent optional keys', () => {
    const value = readFields(good, reader, 'thing');
    expect(value).toEqual({ ...good, name: 'X' });
    expect('note' in value).toBe(false);
    expect(readFields({ ...good, note: 'hm' }, reader, 'thing').note).toBe('hm');
  });

  it.each<[string, CborValue, RegExp]>([
    ['an unknown key', { ...good, extra: 1 }, /thing: the key "extra" is not known/],
    ['a key of every object', { ...good, toString: 1 }, /the key "toString" is not known/],
    ['a domain error', { ...good, name: 'bad' }, /thing\/name: bad is not a name/],
    ['text for an integer', { ...good, size: '3' }, /thing\/size: not an integer/],
    ['an integer below its range', { ...good, size: -1 }, /thing\/size: not an integer from 0 to 10/],
    ['an integer above its range', { ...good, size: 11 }, /thing\/size/],
    ['text for bytes', { ...good, data: 'ab' }, /thing\/data: not a byte string/],
    ['too many bytes', { ...good, data: new Uint8Array(3) }, /thing\/data: longer than 2 bytes/],
    ['too few members', { ...good, flags: [] }, /thing\/flags: fewer than 1/],
    ['too many members', { ...good, flags: [true, true, true] }, /thing\/flags: more than 2/],
    ['a wrong member', { ...good, flags: [true, 1] }, /thing\/flags\/1/],
    ['an object for an array', { ...good, flags: { 0: true } }, /thing\/flags: not an array/],
    ['no constant of the list', { ...good, mode: 'c' }, /thing\/mode: not one of/],
    ['an array for a map', [], /thing: not a map/],
    ['text that is longer in UTF-8', { ...good, note: 'üüü' }, /thing\/note: longer than 4 bytes/],
  ])('refuse %s and name its place', (_name, value, message) => {
    expect(() => readFields(value, reader, 'thing')).toThrow(CborError);
    expect(() => readFields(value, reader, 'thing')).toThrow(message);
  });

  it('refuse a missing key', () => {
    const withoutSize = Object.fromEntries(Object.entries(good).filter(([key]) => key !== 'size'));
    expect(() => readFields(withoutSize, reader, 'thing')).toThrow(/the key "size" is missing/);
  });
});
