import { describe, expect, it } from 'vitest';
import { parseAcIdentifier } from '../../src/appc/index.ts';
import { keysForImage } from '../../src/trust/index.ts';

const entries = [
  null,
  'example.com',
  'example.com/foo',
  'example.com/foo/bar',
  'example.com/fo',
  'other.org',
].map((prefix) => ({ prefix, armored: prefix ?? 'any' }));

describe('keys for the name of an image (discovery.md, Validation)', () => {
  it.each([
    ['example.com/foo/bar/baz', ['example.com/foo/bar', 'example.com/foo', 'example.com', 'any']],
    ['example.com/foo', ['example.com/foo', 'example.com', 'any']],
    ['example.com/foobar', ['example.com', 'any']],
    ['example.com', ['example.com', 'any']],
    ['example.comet/foo', ['any']],
    ['other.org/example.com/foo', ['other.org', 'any']],
  ])('%s', (name, keys) => {
    expect(keysForImage(parseAcIdentifier(name), entries)).toEqual(keys);
  });

  it('are none without a matching prefix', () => {
    const onlyFoo = [{ prefix: 'example.com/foo', armored: 'foo' }];
    expect(keysForImage(parseAcIdentifier('example.com/foobar'), onlyFoo)).toEqual([]);
  });
});
