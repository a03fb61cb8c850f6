import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyrightFile } from '../../cross/licences.ts';

const root = path.resolve(import.meta.dirname, '../..');

describe('the copyright file of a package', () => {
  let nodeModules: string;
  const apache = readFile(path.join(root, 'node_modules/b4a/LICENSE'), 'utf8');

  beforeAll(async () => {
    nodeModules = await mkdtemp(path.join(tmpdir(), 'wherry-licences-'));
  });
  afterAll(() => rm(nodeModules, { recursive: true }));

  const copyrightOf = async (license: string, text: string) => {
    await mkdir(path.join(nodeModules, 'gate'), { recursive: true });
    const manifest = JSON.stringify({ name: 'gate', version: '1.0.0', license });
    await writeFile(path.join(nodeModules, 'gate/package.json'), manifest);
    await writeFile(path.join(nodeModules, 'gate/LICENSE'), text);
    return await copyrightFile(nodeModules, ['gate']);
  };

  it('refers to the texts that every Debian system has', async () => {
    const ofApache = await copyrightOf('Apache-2.0', await apache);
    expect(ofApache).toContain('  gate 1.0.0 (Apache-2.0)\n');
    expect(ofApache).toMatch(/the text of this licence is in \/usr\/share\/common-licenses\/Apache-2\.0\.\n/);
    expect(ofApache).not.toContain('TERMS AND CONDITIONS');
    const lesser = await readFile(path.join(root, 'node_modules/openpgp/LICENSE'), 'utf8');
    const ofLesser = await copyrightOf('LGPL-3.0+', lesser);
    expect(ofLesser).toMatch(
      /the text of this licence is in \/usr\/share\/common-licenses\/LGPL-3, with \/usr\/share\/common-licenses\/GPL-3\.\n/,
    );
    expect(ofLesser).not.toContain('verbatim copies');
  });

  it('keeps a text that names its owner, and every other one', async () => {
    const owned = `${await apache}\nCopyright 2020 Harbour Ltd.\n`;
    expect(await copyrightOf('Apache-2.0', owned)).toContain('    Copyright 2020 Harbour Ltd.\n');
    expect(await copyrightOf('MIT', 'The MIT License (MIT)\n')).toContain('    The MIT License (MIT)\n');
  });

  it('cannot be made without the text of a licence', async () => {
    await copyrightOf('MIT', '');
    await rm(path.join(nodeModules, 'gate/LICENSE'));
    await expect(copyrightFile(nodeModules, ['gate'])).rejects.toThrow('gate carries no licence');
  });
});
