import { describe, expect, it } from 'vitest';
import { parseAcIdentifier } from '../../../src/image/appc/identifiers.ts';
import { keysForImage } from '../../../src/wire/trust/keyring.ts';

const entries = [
  null,
  'example.com',
  'example.com/foo',
  'example.com/foo/bar',
  'example.com/fo',
  'other.org',
].map((prefix) => ({ prefix, armored: prefix ?? 'any' }));

describe('[A9.15] keys for the name of an image (discovery.md#validation)', () => {
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

  // Facts from github.com/rkt/rkt at 171c416, tests/rkt_trust_test.go (Apache-2.0, Copyright 2015
  // The rkt Authors): the prefix of a key, and which of its two signed images then run.
  it.each([
    ['wrong-prefix.com/my-app', []],
    ['rkt-prefix.com/my-app', ['rkt-prefix.com/my-app']],
    ['foo.com', []],
    ['example.com/my-app', []],
    [null, ['rkt-prefix.com/my-app', 'rkt-alternative.com/my-app']],
  ])('reference-only (TestTrust): a key for %s is one for %j', (prefix, runs) => {
    const signed = ['rkt-prefix.com/my-app', 'rkt-alternative.com/my-app'];
    const entry = { prefix, armored: 'key' };
    expect(signed.filter((name) => keysForImage(parseAcIdentifier(name), [entry]).length > 0)).toEqual(runs);
  });

  it('ours: do not match a name that only has the same beginning (rkt matches it)', () => {
    const onlyFoo = [{ prefix: 'example.com/foo', armored: 'foo' }];
    expect(keysForImage(parseAcIdentifier('example.com/foobar'), onlyFoo)).toEqual([]);
  });
});
