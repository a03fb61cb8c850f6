import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  createReadStream,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultArchiveLimits } from '../../../src/image/tar/limits.ts';
import { inspectArchive } from '../../../src/image/aci/inspect.ts';
import { wherry } from '../../support/recording-terminal.ts';
import { pax, tar } from '../../support/raw-tar.ts';

let directory: string;
const at = (...names: string[]) => join(directory, ...names);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-build-file-'));
  mkdirSync(at('site/sub'), { recursive: true });
  writeFileSync(at('site/index.html'), 'page\n');
  linkSync(at('site/index.html'), at('site/sub/same.html'));
  writeFileSync(at('program'), '#!/bin/sh\n');
  chmodSync(at('program'), 0o755);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

async function listing(file: string) {
  const { list, manifest } = await inspectArchive(createReadStream(file), defaultArchiveLimits);
  return {
    manifest,
    lines: list.map(({ path, type, mode, uid, gid, target }) =>
      `${path} ${type} ${mode.toString(8)} ${uid}:${gid} ${target}`.trim(),
    ),
  };
}

const manifest = `
[manifest]
name = "example.com/web"
labels = [{ name = "arch", value = "aarch64" }]
app = { exec = ["/bin/web"], user = "33", group = "33" }
`;

describe('an image from a build file', () => {
  const build = (text: string, output = 'web.aci') => {
    writeFileSync(at('web.toml'), text);
    return wherry(['image', 'build', at('web.toml'), '-o', at(output)]);
  };

  it('does not contain its own output in a directory of its parts', async () => {
    expect(
      await wherry(['image', 'build', at('site'), '--name', 'example.com/base', '-o', at('base')]),
    ).toMatchObject({
      status: 0,
    });
    const built = await build(`base = ["base"]\n${manifest}\n[[put]]\nfrom = "."\nto = "/srv"\n`);
    expect(built).toMatchObject({ status: 0, err: expect.not.stringContaining('left out') as string });
    const { lines } = await listing(at('web.aci'));
    expect(lines.filter((line) => line.includes('.wherry-'))).toEqual([]);
  });

  it('has the files of its bases and the parts over them, with owners, modes and hard links', async () => {
    expect(
      await wherry([
        'image',
        'build',
        at('site'),
        '--name',
        'example.com/base',
        '--owner',
        '1:1',
        '-o',
        at('base.aci'),
      ]),
    ).toMatchObject({ status: 0 });
    const built = await build(`base = ["base.aci"]${manifest}
[[put]]
from = "site"
to = "/srv/www"
owner = "33:34"
[[put]]
from = "program"
to = "/bin/web"
mode = "0700"
[[put]]
to = "/index.html"
link = "srv/www/index.html"
[[put]]
to = "/var/lib/web"
directory = true
mode = "0750"
`);
    expect(built).toMatchObject({ status: 0 });
    const { lines, manifest: made } = await listing(at('web.aci'));
    expect(made).toMatchObject({ name: 'example.com/web', app: { exec: ['/bin/web'] } });
    expect(lines.filter((line) => !/^(manifest|rootfs) /.test(line))).toEqual([
      'rootfs/bin directory 755 0:0',
      'rootfs/bin/web file 700 0:0',
      'rootfs/index.html symlink 777 0:0 srv/www/index.html',
      'rootfs/srv directory 755 0:0',
      'rootfs/srv/www directory 755 33:34',
      'rootfs/srv/www/index.html file 644 33:34',
      'rootfs/srv/www/sub directory 755 33:34',
      'rootfs/srv/www/sub/same.html link 644 33:34 rootfs/srv/www/index.html',
      'rootfs/sub directory 755 1:1',
      'rootfs/sub/same.html file 644 1:1',
      'rootfs/var directory 755 0:0',
      'rootfs/var/lib directory 755 0:0',
      'rootfs/var/lib/web directory 750 0:0',
    ]);
  });

  it('is bit-identical when it is built again', async () => {
    const text = `${manifest}[[put]]\nfrom = "site"\nto = "/srv"\n`;
    await build(text);
    await build(text, 'again.aci');
    expect(readFileSync(at('again.aci')).equals(readFileSync(at('web.aci')))).toBe(true);
  });

  it.each([
    ['a key that is not known', `${manifest}\n[puts]\n`, /web.toml: puts: this key is not known/],
    [
      'an unknown key of a part',
      `${manifest}[[put]]\nfro = "a"\nto = "/a"\n`,
      /put 1: the key fro is not known/,
    ],
    [
      'a path that climbs',
      `${manifest}[[put]]\nfrom = "site"\nto = "/../a"\n`,
      /put 1: to: expected a plain absolute path/,
    ],
    [
      'a mode that is no text',
      `${manifest}[[put]]\nfrom = "program"\nto = "/a"\nmode = 644\n`,
      /put 1: mode: expected octal digits/,
    ],
    [
      'two sources',
      `${manifest}[[put]]\nfrom = "site"\nlink = "x"\nto = "/a"\n`,
      /put 1: expected one of from, link and directory/,
    ],
    ['a source that is not there', `${manifest}[[put]]\nfrom = "none"\nto = "/a"\n`, /there is no .*none/],
    ['no manifest', 'base = []\n', /manifest: expected a table/],
    ['a manifest that the specification refuses', '[manifest]\nname = "NO"\n', /image manifest: \/name/],
    ['what is no TOML', 'base = [', /web.toml is not a build file: line 1: /],
    ['an image', '\u001f\u008b\u001b[31m', /^[^\p{C}]*is not a build file: line 1: [^\p{C}]*\n$/u],
  ])('is refused with %s, and nothing is left', async (_what, text, problem) => {
    const before = readdirSync(directory).length;
    const run = await build(text);
    expect(run.status).not.toBe(0);
    expect(run.err).toMatch(problem);
    expect(readdirSync(directory)).toHaveLength(before + 1);
  });

  it('[C328] is refused if it is not UTF-8', async () => {
    writeFileSync(at('web.toml'), Buffer.from(`${manifest}# caf\u00e9\n`, 'latin1'));
    expect(await wherry(['image', 'build', at('web.toml'), '-o', at('web.aci')])).toMatchObject({
      status: 64,
      err: expect.stringContaining('web.toml is not a build file: it is not UTF-8') as string,
    });
  });

  it('refuses options that the file sets', async () => {
    writeFileSync(at('web.toml'), manifest);
    const run = await wherry([
      'image',
      'build',
      at('web.toml'),
      '--name',
      'example.com/x',
      '-o',
      at('x.aci'),
    ]);
    expect(run).toMatchObject({
      status: 64,
      err: expect.stringMatching(/--name is for a directory.*wherry image patch/) as string,
    });
  });
});

describe('an image from a directory (aci.md#image-archives: "All files MUST maintain all of their original properties")', () => {
  it('[A1.4] keeps extended attributes', async () => {
    mkdirSync(at('root'));
    const archive = tar(pax({ 'SCHILY.xattr.user.note': 'kept' }), { name: 'noted', body: 'x' });
    execFileSync('tar', ['-x', '--xattrs', '--xattrs-include=*', '-C', at('root')], { input: archive });
    expect(
      await wherry(['image', 'build', at('root'), '--name', 'example.com/x', '-o', at('x.aci')]),
    ).toMatchObject({ status: 0 });
    const { list } = await inspectArchive(createReadStream(at('x.aci')), defaultArchiveLimits);
    expect(list.find(({ path }) => path === 'rootfs/noted')?.xattrs).toEqual([
      { name: 'user.note', value: Buffer.from('kept') },
    ]);
  });

  it.runIf(process.getuid?.() === 0)('[C319] is the same again after it was extracted as root', async () => {
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
    writeFileSync(
      at('noted.aci'),
      tar(
        { name: 'manifest', body: '{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/x"}' },
        { name: 'rootfs/', type: '5', mode: 0o3711, uid: 9 },
        { name: 'rootfs/link', type: '2', linkname: 'rootfs/ping', mode: 0o777 },
        pax({ 'SCHILY.xattr.user.note': 'kept', 'SCHILY.xattr.security.capability': capability }),
        { name: 'rootfs/ping', body: 'x', mode: 0o4755, uid: 7 },
        { name: 'rootfs/same', type: '1', linkname: 'rootfs/ping', mode: 0o4755, uid: 7 },
      ),
    );
    expect(await wherry(['image', 'extract', at('noted.aci'), at('out')])).toMatchObject({ status: 0 });
    await wherry(['image', 'build', at('out'), '--name', 'example.com/x', '-o', at('again.aci')]);
    const entries = async (file: string) =>
      (await inspectArchive(createReadStream(file), defaultArchiveLimits)).list.slice(1);
    expect(await entries(at('again.aci'))).toEqual(await entries(at('noted.aci')));
  });
});

describe('wherry image patch', () => {
  it('changes what the options name and keeps the rest and all files', async () => {
    const base = [
      'image',
      'build',
      at('site'),
      '--name',
      'example.com/web',
      '--label',
      'version=1.0',
      '--label',
      'arch=aarch64',
    ];
    await wherry([...base, '--exec', '/bin/web', '--env', 'A=1', '--env', 'B=2', '-o', at('web.aci')]);
    const changes = [
      '--label',
      'version=1.1',
      '--label',
      'arch=',
      '--env',
      'A=3',
      '--annotation',
      'authors=us',
      '--user',
      '7',
    ];
    expect(await wherry(['image', 'patch', at('web.aci'), ...changes, '-o', at('new.aci')])).toMatchObject({
      status: 0,
    });
    const before = await listing(at('web.aci'));
    const after = await listing(at('new.aci'));
    const files = (lines: readonly string[]) => lines.filter((line) => !line.startsWith('manifest '));
    expect(files(after.lines)).toEqual(files(before.lines));
    expect(after.manifest.labels).toEqual([
      { name: 'os', value: 'linux' },
      { name: 'version', value: '1.1' },
    ]);
    expect(after.manifest).toMatchObject({
      name: 'example.com/web',
      annotations: [{ name: 'authors', value: 'us' }],
      app: {
        exec: ['/bin/web'],
        user: '7',
        environment: [
          { name: 'B', value: '2' },
          { name: 'A', value: '3' },
        ],
      },
    });
  });

  it('accepts a whole manifest, and refuses an invalid one without changing the image', async () => {
    await wherry(['image', 'build', at('site'), '--name', 'example.com/web', '-o', at('web.aci')]);
    const before = readFileSync(at('web.aci'));
    writeFileSync(at('manifest'), '{"acKind":"ImageManifest","acVersion":"0.8.11","name":"UP"}');
    const over = ['image', 'patch', at('web.aci'), '--manifest', at('manifest'), '-o', at('web.aci')];
    expect(await wherry(over)).toMatchObject({ status: 65 });
    expect(readFileSync(at('web.aci')).equals(before)).toBe(true);
    writeFileSync(
      at('manifest'),
      '{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/other"}',
    );
    expect(await wherry(over)).toMatchObject({ status: 0 });
    expect((await listing(at('web.aci'))).manifest.name).toBe('example.com/other');
  });

  it('does not create an app from a user alone', async () => {
    await wherry(['image', 'build', at('site'), '--name', 'example.com/web', '-o', at('web.aci')]);
    const run = await wherry(['image', 'patch', at('web.aci'), '--user', '7', '-o', at('new.aci')]);
    expect(run).toMatchObject({ status: 64, err: expect.stringMatching(/give it with --exec/) as string });
  });
});
