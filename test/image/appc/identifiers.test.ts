// Labels as in docs/appc-checklist.md. Vectors of the specification and of its reference are facts
// from github.com/appc/spec at 259c2ee (spec/types.md and
// schema/types/{acidentifier,acname,hash,uuid,semver}_test.go; Apache-2.0, Copyright 2015 The appc
// Authors).
import { describe, expect, it } from 'vitest';
import {
  isAcIdentifier,
  isAcName,
  isImageId,
  parseAcIdentifier,
  parseAcName,
  parseImageId,
  sanitizeAcIdentifier,
  sanitizeAcName,
} from '../../../src/image/appc/identifiers.ts';
import { isSemVer } from '../../../src/image/appc/version.ts';
import { parseUuid } from '../../../src/image/appc/uuid.ts';
import { Refusal } from '../../../src/core/refusal/refusal.ts';

describe('[A2.1] AC Identifier (types.md#ac-identifier-type)', () => {
  it.each([
    ['specification', 'database'],
    ['specification', 'example.com/database'],
    ['specification', 'example.com/ourapp'],
    // The text's own expression excludes its own example; see docs/decisions/appc-differences.md,
    // 21.
    ['specification', 'example.com/~user/app_v1'],
    ['specification', 'sub-domain.example.com/org/product/release'],
    ...['asdf', 'foo-bar-baz', 'foo-bar', 'example', 'blargh', 'example-ourapp-1-0-0', 'zab_rab_oof'].map(
      (text) => ['specification', text],
    ),
    ['specification', 'my~database'],
    ['specification', 'example.com/~bob/database'],
    ['specification', 'example.com/ourapp-1.0.0'],
    ['specification', 'sub-domain.example.com/org/product/release-1.0.0'],
    ['specification', 'sub-domain.example.com/org/product/~alice/release-1.0.0'],
    ['ours', '0'],
    ['ours', 'a'.repeat(512)],
  ])('%s: %j is accepted', (_source, text = '') => {
    expect(isAcIdentifier(text)).toBe(true);
    expect(parseAcIdentifier(text)).toBe(text);
  });

  it.each([
    ...['', 'BAR', 'foo#', 'EXAMPLE.com', 'foo.com/BAR', '/app', 'app/', '-app', 'app-'].map((text) => [
      'specification',
      text,
    ]),
    ...[
      '.app',
      'app.',
      '_app',
      'app_',
      '~app',
      'app~',
      'example.com/app#1',
      '~example.com/app1',
      'EXAMPLE',
      'Foo',
      '-foo',
      'example-',
    ].map((text) => ['specification', text]),
    // The reference accepts these, against the text: docs/decisions/appc-differences.md, 5.
    ...['example.com/../../etc', 'a//b', 'a..b', 'a--b', 'a/./b', 'a/~', 'a/~/b'].map((text) => [
      'specification',
      text,
    ]),
    ...['app\n', 'a b', 'é', 'a\0b', 'a'.repeat(513)].map((text) => ['ours', text]),
  ])('%s: %j is refused', (_source, text = '') => {
    expect(isAcIdentifier(text)).toBe(false);
    expect(() => parseAcIdentifier(text)).toThrow('expected an AC Identifier');
  });

  it('[A2.10] is checked in time proportional to its length', () => {
    expect(isAcIdentifier(`${'a-'.repeat(250)}!`)).toBe(false);
  });
});

describe('[A2.2] AC Name (types.md#ac-name-type)', () => {
  it.each([
    ['specification', 'database'],
    ['specification', 'product-database'],
    ['specification', 'product-database-release'],
    ...['asdf', 'foo-bar-baz', 'foo-bar', 'example', 'blargh', 'example-ourapp-1-0-0'].map((text) => [
      'specification',
      text,
    ]),
    ['ours', 'a'.repeat(128)],
  ])('%s: %j is accepted', (_source, text = '') => {
    expect(isAcName(text)).toBe(true);
    expect(parseAcName(text)).toBe(text);
  });

  it.each([
    ...['', 'foo#', 'example.com', 'EXAMPLE.com', 'example/database', 'example/database-1.0.0'].map(
      (text) => ['specification', text],
    ),
    ...[
      'foo.com/BAR',
      'example.com/app_1',
      '/app',
      'app/',
      '-app',
      'app-',
      '.app',
      'app.',
      'EXAMPLE',
      'Foo',
      '-foo',
      'example-',
    ].map((text) => ['specification', text]),
    ['specification', 'a--b'],
    ...['a\n', 'A', 'a\x2db-', 'a'.repeat(129)].map((text) => ['ours', text]),
  ])('%s: %j is refused', (_source, text = '') => {
    expect(isAcName(text)).toBe(false);
    expect(() => parseAcName(text)).toThrow('expected an AC Name');
  });

  it('is refused with the code of the caller', () => {
    expect(() => parseAcName('A', 'config-invalid')).toThrow(
      expect.objectContaining({ code: 'config-invalid' }) as Refusal,
    );
    expect(() => parseAcName('A')).toThrow(expect.objectContaining({ code: 'input-invalid' }) as Refusal);
  });
});

describe('[A2.6] image ID (types.md#image-id-type, aci.md#image-id)', () => {
  const digits = '0123456789abcdef'.repeat(8);

  it('is sha512- and 128 lower-case hex digits', () => {
    expect(parseImageId(`sha512-${digits}`)).toBe(`sha512-${digits}`);
  });

  it.each([
    ['specification', 'sha512-'],
    ['specification', 'sha1-abcdef'],
    ['specification', '-abcdef'],
    ['specification', '-'],
    ['specification', `sha512-${digits.toUpperCase()}`],
    ['specification', `sha256-${digits.slice(64)}`],
    // Valid for the reference, which checks only the type: docs/decisions/appc-differences.md, 6.
    ['specification', 'sha512-abcdefghi'],
    ['specification', 'sha512-06c733b1838136838e6d2d3e8fa5aea4c7905e92'],
    ['specification', 'sha512-...'],
    ['ours', 'sha512-../../x'],
    ['ours', `sha512-${digits}\n`],
    ['ours', `sha512-${digits}0`],
    ['ours', ` sha512-${digits}`],
  ])('%s: %j is refused', (_source, text) => {
    expect(isImageId(text)).toBe(false);
    expect(() => parseImageId(text)).toThrow('expected an image ID');
  });
});

describe('[A2.3] the name nearest to a text (TestSanitizeACName, TestSanitizeACIdentifier)', () => {
  it.each([
    ['foo#', 'foo'],
    ['EXAMPLE.com', 'example-com'],
    ['foo.com/BAR', 'foo-com-bar'],
    ['example.com/app_1', 'example-com-app-1'],
    ['/app', 'app'],
    ['app/', 'app'],
    ['-app', 'app'],
    ['app-', 'app'],
    ['.app', 'app'],
    ['app.', 'app'],
    ['app///', 'app'],
    ['-/.app..', 'app'],
    ['-/app.name-test/-/', 'app-name-test'],
    ['sub-domain.example.com/org/product/release-1.0.0', 'sub-domain-example-com-org-product-release-1-0-0'],
  ])('reference-only: %j becomes the AC Name %j', (text, name) => {
    expect(sanitizeAcName(text)).toBe(name);
  });

  it.each([
    ['foo#', 'foo'],
    ['FOO', 'foo'],
    ['EXAMPLE.com', 'example.com'],
    ['foo.com/BAR', 'foo.com/bar'],
    ...[
      '/app',
      'app/',
      '-app',
      'app-',
      '.app',
      'app.',
      '_app',
      'app_',
      '~app',
      'app~',
      'app///',
      '-/.app..',
    ].map((text) => [text, 'app']),
    ['-/app.name-test/-/', 'app.name-test'],
    [
      'sub-domain.example.com/org/product/~alice/release-1.0.0',
      'sub-domain.example.com/org/product/~alice/release-1.0.0',
    ],
  ])('reference-only: %j becomes the AC Identifier %j', (text = '', identifier) => {
    expect(sanitizeAcIdentifier(text)).toBe(identifier);
  });

  it('ours: no path components . and .. remain, which the reference keeps', () => {
    expect(sanitizeAcIdentifier('a/../../etc')).toBe('a/etc');
  });

  it.each(['__', '..', '//', '', './/-'])('reference-only: nothing remains of %j', (text) => {
    expect(sanitizeAcName(text)).toBeUndefined();
    expect(sanitizeAcIdentifier(text)).toBeUndefined();
  });
});

describe('[A2.5] SemVer (types.md#ac-version-type)', () => {
  it.each([
    ['specification', '1.0.0'],
    ['specification', '3.2.1'],
    ['specification', '3.2.1-foo'],
    ['specification', '1.2.3-alpha+git'],
    ['specification', '0.8.11'],
    ['specification', '1.0.0-alpha.1'],
    ['specification', '1.0.0+20130313144700'],
    ['specification', '1.0.0-0A.is.legal'],
  ])('%s: %j is accepted as a version', (_source, text) => {
    expect(isSemVer(text)).toBe(true);
  });

  it.each([
    ['specification', '1'],
    ['specification', '1.2.3.4'],
    ['specification', 'v1.2.3'],
    ['specification', '1.0'],
    // The reference accepts the next two, SemVer 2.0.0 does not.
    ['specification', '01.2.3'],
    ['specification', '1.2.3-'],
    ['specification', '1.2.3-01'],
    ['specification', '1.2.3+'],
    ['specification', ''],
    ['ours', '1.2.3\n'],
    ['ours', `1.2.${'9'.repeat(64)}`],
  ])('%s: %j is refused', (_source, text) => {
    expect(isSemVer(text)).toBe(false);
  });
});

describe('[A2.9] pod UUID (ace.md#pod-uuid, RFC 4122)', () => {
  it.each([
    ['6733C088-A507-4694-AABF-EDBE4FC5266F', '6733c088-a507-4694-aabf-edbe4fc5266f'],
    ['6733C088A5074694AABFEDBE4FC5266F', '6733c088-a507-4694-aabf-edbe4fc5266f'],
    ['0aaf0a79-1a39-4d59-abbf-1bebca8209d2', '0aaf0a79-1a39-4d59-abbf-1bebca8209d2'],
    ['0aaf0a791a394d59abbf1bebca8209d2', '0aaf0a79-1a39-4d59-abbf-1bebca8209d2'],
  ])('reference-only: %j is printed as %j', (text, uuid) => {
    expect(parseUuid(text)).toBe(uuid);
  });

  it.each([
    ['specification', 'asdf'],
    ['specification', '0AAF0A79-1A39-4D59-ABBF-1BEBCA8209D2ABC'],
    ['specification', ''],
    ['ours', '0aaf0a791a39-4d59-abbf-1bebca8209d2'],
    ['ours', '{0aaf0a79-1a39-4d59-abbf-1bebca8209d2}'],
  ])('%s: %j is refused', (_source, text) => {
    expect(() => parseUuid(text)).toThrow(Refusal);
  });
});
