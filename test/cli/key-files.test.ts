import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openGnuPg, type GnuPg } from '../support/gnupg.ts';
import { wherry, type Run } from '../support/recording-terminal.ts';

// openpgpjs/openpgpjs#1038 and #1702: files that people mistake for a key.
let gpg: GnuPg;
let directory: string;
let key: string;
const at = (path: string): string => join(directory, path);
const image = (...args: string[]): Promise<Run> => wherry(['--fleet', at('fleet'), 'image', ...args]);

beforeAll(async () => {
  gpg = openGnuPg();
  directory = await mkdtemp(join(tmpdir(), 'wherry-key-files-'));
  key = gpg.newKey('A <a@example.com>', 'ed25519');
  const root = await mkdtemp(join(directory, 'root-'));
  expect(await image('build', root, '--name', 'example.com/a', '-o', at('a.aci'))).toMatchObject({
    status: 0,
  });
  await writeFile(at('a.aci.asc'), gpg.sign(at('a.aci'), key));
  await writeFile(at('good.asc'), gpg.export(key));
});
afterAll(async () => {
  gpg.close();
  await rm(directory, { recursive: true });
});

describe('[A9.25] a file that is not a public key', () => {
  it.each<[string, () => Buffer | string, RegExp]>([
    [
      'binary',
      () => Buffer.from(gpg.run(['--export', key]).stdout, 'latin1'),
      /no armored block; export it with gpg --armor --export/,
    ],
    ['indented', () => gpg.export(key).replace(/^/gm, '  '), /cannot be read as an OpenPGP key/],
    ['private', () => gpg.run(['--armor', '--export-secret-keys', key]).stdout, /it is a private key/],
    [
      // gpg --armor --export > wrong.asc, in Windows PowerShell 5.1 (about_Redirection, "UTF-16LE")
      'UTF-16',
      () => Buffer.from(`\ufeff${gpg.export(key)}`, 'utf16le'),
      /it is UTF-16 text, as PowerShell writes .* --output FILE/,
    ],
    ['text', () => 'hello\n', /no armored block/],
    ['a signature', () => gpg.sign(Buffer.from('x'), key), /cannot be read as an OpenPGP key/],
    ['empty', () => '', /holds no OpenPGP key/],
    ['cut off', () => gpg.export(key).slice(0, 200), /cannot be read as an OpenPGP key/],
  ])('is named when it is %s, also beside a good one', async (_what, produce, reason) => {
    await writeFile(at('wrong.asc'), produce());
    for (const keys of [['wrong.asc'], ['good.asc', 'wrong.asc']]) {
      const verified = await image('verify', at('a.aci'), ...keys.flatMap((name) => ['--key', at(name)]));
      expect(verified.status).toBe(64);
      expect(verified.err).toContain(`${at('wrong.asc')} is not a public key: `);
      expect(verified.err).toMatch(reason);
    }
    const signed = await image('sign', at('a.aci'), '--key', at('wrong.asc'));
    if (_what === 'private') expect(signed.status).toBe(0);
    else
      expect(signed).toMatchObject({ status: 64, err: expect.stringContaining(at('wrong.asc')) as string });
    await writeFile(at('a.aci.asc'), gpg.sign(at('a.aci'), key));
  });

  it.each<[string, () => void, RegExp]>([
    [
      'UTF-16',
      () => writeFileSync(at('a.aci.asc'), Buffer.from(`\ufeff${gpg.sign(at('a.aci'), key)}`, 'utf16le')),
      /a\.aci: the signature is UTF-16 text, as PowerShell writes/,
    ],
    [
      'a directory',
      () => mkdirSync(at('a.aci.asc')),
      /a\.aci: its signature cannot be read: it is a directory/,
    ],
  ])('nor is a signature that is %s', async (_what, make, reason) => {
    rmSync(at('a.aci.asc'));
    make();
    const verified = await image('verify', at('a.aci'), '--key', at('good.asc'));
    expect(verified.err).toMatch(reason);
    rmSync(at('a.aci.asc'), { recursive: true });
    await writeFile(at('a.aci.asc'), gpg.sign(at('a.aci'), key));
  });

  it('is not a revocation certificate, which revokes the key beside it', async () => {
    expect(await image('verify', at('a.aci'), '--key', at('good.asc'))).toMatchObject({ status: 0 });
    gpg.revoke(key);
    const { stdout } = gpg.run(['--export-options', 'export-minimal', '--armor', '--export', key]);
    await writeFile(at('revoked.asc'), stdout);
    for (const keys of [
      ['good.asc', 'revoked.asc'],
      ['revoked.asc', 'good.asc'],
    ]) {
      const verified = await image('verify', at('a.aci'), ...keys.flatMap((name) => ['--key', at(name)]));
      expect(verified).toMatchObject({
        status: 77,
        err: expect.stringMatching(/it is revoked \(key-unusable\)/) as string,
      });
    }
  });
});
