import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseAcIdentifier } from '../../../src/image/appc/identifiers.ts';
import { trustFiles } from '../../../src/device/agent/trust-files.ts';
import { keysForImage } from '../../../src/wire/trust/keyring.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-trust-files-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const put = (path: string, content: string): void => {
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  writeFileSync(join(directory, path), content);
};

it('[A9.16] a device reads the keys of both stores with their scopes, except masked ones', () => {
  const files = trustFiles({ local: join(directory, 'local'), system: join(directory, 'system') });
  put('system/deploy/operator.asc', 'OPERATOR');
  put('system/images/root.d/vendor.asc', 'VENDOR');
  put('system/images/prefix.d/example.com/web/team.asc', 'OLD TEAM');
  put('local/images/prefix.d/example.com/web/team.asc', 'TEAM');
  const keysOf = (name: string) => keysForImage(parseAcIdentifier(name), files.imageKeys());
  expect(files.deployKeys()).toEqual(['OPERATOR']);
  expect(keysOf('example.com/web')).toEqual(['TEAM', 'VENDOR']);
  expect(keysOf('example.com/website')).toEqual(['VENDOR']);
  // Changes by an operator apply at once.
  put('local/images/root.d/vendor.asc', '');
  put('local/deploy/operator.asc', '');
  expect(keysOf('example.com/website')).toEqual([]);
  expect(files.deployKeys()).toEqual([]);
});

it('[A9.23] a device merges every copy of a trusted key, wherever it is stored', () => {
  const files = trustFiles({ local: join(directory, 'local'), system: join(directory, 'system') });
  put('local/deploy/operator.asc', 'OPERATOR');
  put('system/images/root.d/operator.asc', 'REVOKED');
  expect(files.copies()).toEqual(['OPERATOR', 'REVOKED']);
  expect(files.deployKeys()).toEqual(['OPERATOR']);
});
