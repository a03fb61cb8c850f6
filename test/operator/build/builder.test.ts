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
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { buildAci, type BuildOptions } from '../../../src/operator/build/builder.ts';
import { type ArchiveListing, inspectArchive } from '../../../src/image/aci/inspect.ts';
import { defaultArchiveLimits } from '../../../src/image/tar/limits.ts';
import { parseImageManifest } from '../../../src/image/appc/image-manifest.ts';
import { manifestText, record } from '../../support/raw-tar.ts';

let directory: string;
let root: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-builder-'));
  root = join(directory, 'rootfs');
  mkdirSync(root);
});

afterEach(() => rmSync(directory, { recursive: true }));

function build(options: Partial<BuildOptions> = {}) {
  return buildAci({
    root,
    manifest: Buffer.from(manifestText),
    output: join(directory, 'out.aci'),
    compression: 'none',
    ...options,
  });
}

function inspect(file = 'out.aci'): Promise<ArchiveListing> {
  return inspectArchive(createReadStream(join(directory, file)), { ...defaultArchiveLimits, maxRatio: 2000 });
}

function put(path: string, content: string, mode = 0o644): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
  chmodSync(join(root, path), mode);
}

async function paths(): Promise<string[]> {
  return (await inspect()).list.map((entry) => entry.path);
}

describe('a built archive', () => {
  it('[A1.8] has the image ID that the reader and sha512sum find, compressed or not', async () => {
    put('bin/app', 'program', 0o755);
    const plain = await build();
    const gzip = await build({ compression: 'gzip', output: join(directory, 'out.gz.aci') });
    const digest = execFileSync('sha512sum', [join(directory, 'out.aci')], { encoding: 'utf8' }).slice(
      0,
      128,
    );
    expect(plain.imageId).toBe(`sha512-${digest}`);
    expect(gzip.imageId).toBe(plain.imageId);
    expect((await inspect('out.gz.aci')).imageId).toBe(plain.imageId);
    expect(gzip).toMatchObject({
      tarSizeBytes: plain.sizeBytes,
      sizeBytes: readFileSync(join(directory, 'out.gz.aci')).length,
    });
  });

  it('has the manifest first and the rest in the order of its bytes', async () => {
    for (const path of ['b', 'a/z', 'a.txt', 'a/B', 'Ä']) put(path, path);
    await build();
    expect(await paths()).toEqual([
      'manifest',
      'rootfs',
      'rootfs/a',
      'rootfs/a/B',
      'rootfs/a/z',
      'rootfs/a.txt',
      'rootfs/b',
      'rootfs/Ä',
    ]);
    expect((await inspect()).manifest).toEqual(parseImageManifest(Buffer.from(manifestText)));
  });

  it('accepts a manifest as a value, too', async () => {
    await build({ manifest: parseImageManifest(Buffer.from(manifestText)) });
    expect((await inspect()).manifest.name).toBe('example.com/app');
  });

  it('is bit-identical for the same tree, at any place and time', async () => {
    const outputs: Buffer[] = [];
    for (const order of [
      ['a', 'b', 'c'],
      ['c', 'b', 'a'],
    ]) {
      rmSync(root, { recursive: true });
      for (const name of order) put(`d/${name}`, name);
      await build({ compression: 'gzip', latest: 1_000_000_000, owner: { uid: 0, gid: 0 } });
      outputs.push(readFileSync(join(directory, 'out.aci')));
    }
    expect(outputs[0]?.equals(outputs[1] ?? Buffer.alloc(0))).toBe(true);
    expect(outputs[0]?.subarray(4, 10)).toEqual(Buffer.from([0, 0, 0, 0, 0, 255])); // no time, no operating system
  });

  it('[A1.4] [A1.12] keeps mode, time, hard links and symbolic links', async () => {
    put('su', 'x', 0o4755);
    put('private', '', 0); // empty, so the test needs no root to read it
    utimesSync(join(root, 'su'), 1_500_000_000, 1_500_000_000);
    mkdirSync(join(root, 'a'));
    linkSync(join(root, 'su'), join(root, 'a/link'));
    symlinkSync('../../outside', join(root, 'symbolic'));
    await build();
    const list = new Map((await inspect()).list.map((entry) => [entry.path, entry]));
    expect(list.get('rootfs/a/link')).toMatchObject({ type: 'file', mode: 0o4755, mtime: 1_500_000_000 });
    expect(list.get('rootfs/su')).toMatchObject({ type: 'link', target: 'rootfs/a/link' });
    expect(list.get('rootfs/private')).toMatchObject({ mode: 0 });
    expect(list.get('rootfs/symbolic')).toMatchObject({ type: 'symlink', target: '../../outside' });
  });

  it('[A1.4] sets owners and latest times as requested', async () => {
    put('old', 'x');
    put('new', 'x');
    utimesSync(join(root, 'old'), 5, 5);
    await build({ owner: { uid: 33, gid: 3_000_000 }, latest: 1000 });
    const { list } = await inspect();
    expect(list.slice(1).every(({ uid, gid }) => uid === 33 && gid === 3_000_000)).toBe(true);
    expect(list.map(({ path, mtime }) => [path, mtime])).toEqual([
      ['manifest', 1000],
      ['rootfs', 1000],
      ['rootfs/new', 1000],
      ['rootfs/old', 5],
    ]);
  });

  it('[A1.4] sets given extended attributes', async () => {
    put('bin/ping', 'x');
    const value = Buffer.from([1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    await build({ xattrs: new Map([['/bin/ping', [{ name: 'security.capability', value }]]]) });
    expect((await inspect()).list.find(({ path }) => path === 'rootfs/bin/ping')?.xattrs).toEqual([
      { name: 'security.capability', value },
    ]);
    expect(
      readFileSync(join(directory, 'out.aci')).includes(record('SCHILY.xattr.security.capability', value)),
    ).toBe(true);
  });

  it('has additions, with their parents, in place of existing files', async () => {
    put('etc/app.conf', 'default');
    linkSync(join(root, 'etc/app.conf'), join(root, 'etc/z.conf'));
    await build({
      additions: [
        { path: '/etc/app.conf', content: Buffer.from('mine'), mode: 0o600 },
        { path: '/var/lib/app', directory: true, mode: 0o700 },
        { path: '/run/link', symlink: '/var/run' },
      ],
    });
    const { list } = await inspect();
    const text = list.map(({ path, type, mode }) => `${type} ${path} ${mode.toString(8)}`);
    expect(text).toEqual(
      expect.arrayContaining([
        'file rootfs/etc/app.conf 600',
        'file rootfs/etc/z.conf 644',
        'directory rootfs/var 755',
        'directory rootfs/var/lib/app 700',
        'symlink rootfs/run/link 777',
      ]),
    );
    const extracted = execFileSync('tar', [
      '-xOf',
      join(directory, 'out.aci'),
      'rootfs/etc/z.conf',
      'rootfs/etc/app.conf',
    ]);
    expect(extracted.toString()).toBe('minedefault');
  });

  it('[A1.13] leaves out sockets and names them', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(root, 'socket'), resolve));
    try {
      expect((await build()).skipped).toEqual(['/socket']);
      expect(await paths()).toEqual(['manifest', 'rootfs']);
    } finally {
      server.close();
    }
  });

  it('holds files larger than any buffer', async () => {
    put('big', '');
    truncateSync(join(root, 'big'), 3_000_001);
    const built = await build({ compression: 'gzip' });
    expect((await inspect()).list.at(-1)).toMatchObject({ path: 'rootfs/big', sizeBytes: 3_000_001 });
    // Less than a hundredth: a device accepts at most 200 times the compressed size.
    expect(built.sizeBytes).toBeLessThan(100_000);
  });

  it('[A1.4] is unpacked by GNU tar to the tree that was built', async () => {
    const name = fc
      .string({
        unit: fc.constantFrom('a', 'B', '.', ' ', '-', 'é', '\n', '\\', '%', 'n'.repeat(40)),
        minLength: 1,
        maxLength: 5,
      })
      .filter((text) => text !== '.' && text !== '..');
    const node = fc.record({
      path: fc.array(name, { minLength: 1, maxLength: 4 }),
      kind: fc.constantFrom('file', 'directory', 'symlink', 'hardlink'),
      mode: fc.integer({ min: 0o600, max: 0o7777 }).map((mode) => mode | 0o700),
      content: fc.string({ maxLength: 2000 }),
      link: fc.string({ minLength: 1, maxLength: 300 }).filter((text) => !text.includes('\0')),
      mtime: fc.integer({ min: 0, max: 4_000_000_000 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(node, { maxLength: 12 }), async (nodes) => {
        rmSync(root, { recursive: true, force: true });
        mkdirSync(root);
        const files: string[] = [];
        for (const { path, kind, mode, content, link, mtime } of nodes) {
          const file = join(root, ...path);
          try {
            mkdirSync(dirname(file), { recursive: true });
            if (kind === 'directory') mkdirSync(file);
            else if (kind === 'symlink') symlinkSync(link, file);
            else if (kind === 'hardlink') linkSync(files[0] ?? '', file);
            else {
              writeFileSync(file, content);
              files.push(file);
            }
            if (kind !== 'symlink') {
              chmodSync(file, mode);
              utimesSync(file, mtime, mtime);
            }
          } catch {
            continue; // a path through a file, or the same path again: the resulting tree counts
          }
        }
        await build();
        await expect(inspect()).resolves.toBeDefined();
        // tar exits with 1 and prints differences in content, mode, owner, time, links
        execFileSync('tar', ['--diff', '-f', join(directory, 'out.aci'), '-C', directory, 'rootfs']);
      }),
      { numRuns: 40 },
    );
  });
});

describe('a build', () => {
  it('[A3.1] refuses a manifest that the specification forbids', async () => {
    await expect(build({ manifest: Buffer.from('{}') })).rejects.toMatchObject({
      code: 'image-manifest-invalid',
    });
  });

  it('refuses a missing directory, and a file in its place', async () => {
    await expect(build({ root: join(directory, 'none') })).rejects.toMatchObject({ code: 'not-found' });
    writeFileSync(join(directory, 'file'), '');
    await expect(build({ root: join(directory, 'file') })).rejects.toMatchObject({ code: 'input-invalid' });
  });

  it('refuses names that are not UTF-8', async () => {
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff])]), '');
    await expect(build()).rejects.toMatchObject({ code: 'input-invalid' });
  });

  it.each([
    ['relative', 'etc/x'],
    ['climbing', '/../x'],
    ['with an empty component', '/etc//x'],
    ['under a file', '/file/x'],
    ['under a symbolic link', '/link/x'],
    ['on a directory', '/etc'],
  ])('refuses an added path that is %s', async (_what, path) => {
    put('file', 'x');
    put('etc/y', 'x');
    symlinkSync('/etc', join(root, 'link'));
    const additions = [{ path, content: Buffer.from('x'), mode: 0o644 }];
    await expect(build({ additions })).rejects.toMatchObject({ code: 'input-invalid' });
  });

  it.each(['gzip', 'none'] as const)(
    'reports that its output cannot be written (%s)',
    async (compression) => {
      const output = join(directory, 'none/out.aci');
      await expect(build({ output, compression })).rejects.toMatchObject({
        code: 'not-found',
        message: `${output} cannot be written: the directory ${join(directory, 'none')} does not exist`,
      });
    },
  );

  it('refuses a file shorter than its announced size, and leaves nothing behind', async () => {
    // Files of sysfs announce a page and contain a line.
    const reading = build({ root: '/sys/class/net/lo/statistics', compression: 'gzip' });
    await expect(reading).rejects.toMatchObject({ code: 'input-invalid' });
    expect(readdirSync(directory)).toEqual(['rootfs']);
  });
});
