import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDirectory } from '../../../src/core/files/index.ts';
import { wherry } from '../../support/recording-terminal.ts';

let directory: string;
const at = (...names: string[]): string => join(directory, ...names);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-directory-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('a directory', () => {
  it('is created with its parents, by two at once, and kept if it exists', async () => {
    await Promise.all([makeDirectory(at('a/b/c'), 0o700), makeDirectory(at('a/b/c'), 0o700)]);
    await makeDirectory(at('a/b/c'));
    expect([at('a'), at('a/b/c')].map((path) => statSync(path).mode & 0o777)).toEqual([0o700, 0o700]);
  });

  it('is not created below or over a file, or over a dangling link', async () => {
    writeFileSync(at('file'), '');
    symlinkSync('nothing', at('link'));
    await expect(makeDirectory(at('file/a'))).rejects.toMatchObject({ code: 'ENOTDIR' });
    await expect(makeDirectory(at('file'))).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(makeDirectory(at('link/a'))).rejects.toMatchObject({ code: 'EEXIST' });
  });

  it.each(['/proc/harbour', '/proc/harbour/fleet'])('is refused early at %s', async (path) => {
    await expect(makeDirectory(path)).rejects.toMatchObject({
      code: 'not-found',
      message: '/proc/harbour cannot be made: the directory /proc takes no directories; name another place',
    });
  });
});

it('a fleet below /proc is refused early, with the path', async () => {
  const { status, err } = await wherry(['--fleet', '/proc/harbour/fleet', 'fleet', 'init', 'harbour']);
  expect(err).toMatch(/\/proc\/harbour cannot be made: the directory \/proc takes no directories/);
  expect(status).toBe(64);
});

it('a fleet that cannot be created completely leaves nothing behind', async () => {
  mkdirSync(at('harbour'));
  writeFileSync(at('harbour/keys'), 'a file');
  const init = (path: string) => wherry(['--fleet', at(path), 'fleet', 'init', 'harbour']);
  expect(await init('harbour')).toMatchObject({
    status: 64,
    err: expect.stringContaining('harbour/keys') as string,
  });
  expect(readdirSync(at('harbour'))).toEqual(['keys']);
  mkdirSync(at('harbour-2'));
  writeFileSync(at('harbour-2/fleet.toml'), '');
  expect((await init('harbour-2')).err).toMatch(/holds a fleet already/);
  expect(readdirSync(at('harbour-2'))).toContain('fleet.toml');
});

describe('an output to standard output', () => {
  it.each<[string, readonly string[]]>([
    ['image build', ['image', 'build', '.', '--name', 'example.com/a']],
    ['image from-oci', ['image', 'from-oci', 'x', '--name', 'example.com/a']],
    ['image to-oci', ['image', 'to-oci', 'x.aci']],
    ['image fetch', ['image', 'fetch', 'example.com/a']],
    ['image render', ['image', 'render', 'x.aci']],
    ['image patch', ['image', 'patch', 'x.aci']],
    ['fleet enrol', ['fleet', 'enrol', 'crane-7']],
    ['fleet provision', ['fleet', 'provision', 'crane-7']],
    ['deploy', ['deploy', 'crane-7', '--stop-all', '--sign-only']],
  ])('is refused by %s', async (_name, args) => {
    const { status, err } = await wherry([...args, '-o', '-']);
    expect(err).toMatch(
      /"-" is not valid for .*: it takes the name of a file; nothing is written to standard output/,
    );
    expect(status).toBe(64);
  });
});
