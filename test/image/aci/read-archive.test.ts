import { createHash } from 'node:crypto';
import { Writable } from 'node:stream';
import { gzipSync } from 'node:zlib';

import { describe, expect, it } from 'vitest';

import { type ArchiveLimits, defaultArchiveLimits } from '../../../src/image/tar/limits.ts';
import { type ArchiveSummary, readArchive } from '../../../src/image/aci/read-archive.ts';
import { Refusal } from '../../../src/core/refusal/refusal.ts';
import type { RefusalCode } from '../../../src/core/refusal/codes.ts';
import {
  directory,
  file,
  manifest,
  manifestText,
  pax,
  raw,
  type RawEntry,
  record,
  rootfs,
  source,
  tar,
} from '../../support/raw-tar.ts';
import { openGnuPg } from '../../support/gnupg.ts';

const small: ArchiveLimits = { ...defaultArchiveLimits, maxTarBytes: 4 * 1024 * 1024, maxEntries: 100 };

function read(bytes: Buffer, limits: Partial<ArchiveLimits> = {}, chunk = 4096): Promise<ArchiveSummary> {
  return readArchive(source(bytes, chunk), { limits: { ...small, ...limits } });
}

async function refusal(bytes: Buffer, limits: Partial<ArchiveLimits> = {}): Promise<Refusal> {
  const outcome = await read(bytes, limits).catch((error: unknown) => error);
  if (!(outcome instanceof Refusal)) throw new Error(`accepted, or threw ${String(outcome)}`);
  return outcome;
}

/** The canonical tar of an archive. */
async function canonical(bytes: Buffer, limits = small): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const canonicalTar = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  await readArchive(source(bytes), { limits, canonicalTar });
  return Buffer.concat(chunks);
}

const id = (bytes: Buffer) => `sha512-${createHash('sha512').update(bytes).digest('hex')}`;

describe('an accepted archive', () => {
  it('[A1.8] has the SHA-512 of its uncompressed tar as image ID, however it is compressed (aci.md#image-id)', async () => {
    const bytes = tar(manifest, rootfs, file('rootfs/a'));
    expect((await read(bytes)).imageId).toBe(id(bytes));
    expect((await read(gzipSync(bytes))).imageId).toBe(id(bytes));
    expect((await read(gzipSync(bytes, { level: 1 }))).imageId).toBe(id(bytes));
  });

  it('[A1.9] has an image ID that covers the zeros after the end marker', async () => {
    const bytes = Buffer.concat([tar(manifest, rootfs), Buffer.alloc(200_000)]);
    const summary = await read(bytes);
    expect(summary.imageId).toBe(id(bytes));
    expect(summary.tarSizeBytes).toBe(bytes.length);
  });

  it.each([1, 7, 511, 512, 513, 100_000])('is read the same in pieces of %i bytes', async (chunk) => {
    const bytes = tar(pax({ path: 'rootfs/long' }), file('short', 'x'.repeat(1500)), manifest);
    expect(await read(bytes, {}, chunk)).toEqual(await read(bytes));
    expect(await read(gzipSync(bytes), {}, chunk)).toEqual({ ...(await read(bytes)), compression: 'gzip' });
  });

  it.each([
    ['first', tar(manifest, rootfs, file('rootfs/a'))],
    ['in the middle', tar(rootfs, manifest, file('rootfs/a'))],
    ['last', tar(rootfs, file('rootfs/a'), manifest)],
    ['named ./manifest', tar({ ...manifest, name: './manifest' }, directory('./rootfs'))],
  ])('[A1.11] may have its manifest %s', async (_where, bytes) => {
    const summary = await read(bytes);
    expect(summary.manifestBytes.toString()).toBe(manifestText);
    expect(summary.manifest.name).toBe('example.com/app');
  });

  it('[A1.15] may name its own root, as `tar -c .` does', async () => {
    expect((await read(tar(directory('./'), manifest, rootfs))).entries).toBe(2);
  });

  it('[A1.15] may leave out directories: they are counted, made and listed', async () => {
    const bytes = tar(manifest, file('rootfs/a/b/c'));
    expect((await read(bytes)).entries).toBe(5);
    const named = ['rootfs/', 'rootfs/a/', 'rootfs/a/b/'].map((name) => ({ ...directory(name), mtime: 0 }));
    const whole = await canonical(tar(manifest, ...named, file('rootfs/a/b/c')));
    const made = await canonical(bytes);
    const entries = whole.length - 1024; // without the end marker
    expect(made.subarray(0, entries).equals(whole.subarray(0, entries))).toBe(true);
    expect(made.toString('latin1', entries, entries + 8)).toBe('implied\0');
    expect(made.toString('latin1', entries + 512, entries + 540)).toBe(
      'rootfs\0rootfs/a\0rootfs/a/b\0'.padEnd(28, '\0'),
    );
  });

  it('has no list of implied directories above a mebibyte', async () => {
    const names = (count: number) =>
      Array.from({ length: count }, (_, i) => file(`rootfs/${i}-${'n'.repeat(70)}/x`));
    const listed = await canonical(tar(manifest, rootfs, ...names(10)));
    expect(listed.includes('implied\0')).toBe(true);
    const unlisted = await canonical(tar(manifest, rootfs, ...names(15_000)), defaultArchiveLimits);
    expect(unlisted.includes('implied\0')).toBe(false);
    expect(unlisted.length).toBeGreaterThan(listed.length);
  });

  it('[A1.15] may describe a directory after its content', async () => {
    expect((await read(tar(manifest, file('rootfs/a/b'), directory('rootfs/a/'), rootfs))).entries).toBe(4);
  });

  it.each([1, 64, 100_000])(
    '[A1.6] may have several gzip members, read in pieces of %i bytes (RFC 1952 §2.2)',
    async (chunk) => {
      const bytes = tar(manifest, rootfs, file('rootfs/a', 'x'.repeat(3000)));
      const cuts = [0, 700, 701, 2000, bytes.length];
      const members = cuts.slice(1).map((end, i) => gzipSync(bytes.subarray(cuts[i], end)));
      expect((await read(Buffer.concat(members), {}, chunk)).imageId).toBe(id(bytes));
    },
  );

  it.each([1, 100, 100_000])(
    '[A1.6] has nothing after its gzip stream, seen in pieces of %i bytes',
    async (chunk) => {
      const stream = gzipSync(tar(manifest, rootfs));
      for (const tail of ['junk', '\0', '\x1f\x8b', '\x1f\x8b\x08\x00']) {
        await expect(
          read(Buffer.concat([stream, Buffer.from(tail, 'latin1')]), {}, chunk),
        ).rejects.toMatchObject({
          code: 'archive-malformed',
        });
      }
    },
  );

  it('[A10.5] may have a PAX global header with a comment, as `git archive` writes', async () => {
    await expect(read(tar(pax({ comment: 'a commit' }, 'g'), manifest, rootfs))).resolves.toBeDefined();
  });

  it('[A1.12] [A10.3] may have FIFOs, symbolic links to anywhere, and hard links to its own files', async () => {
    const bytes = tar(
      manifest,
      file('rootfs/a'),
      { name: 'rootfs/fifo', type: '6' },
      { name: 'rootfs/s', type: '2', linkname: '../../../etc/passwd' },
      { name: 'rootfs/h', type: '1', linkname: './rootfs/a' },
      { name: 'rootfs/h2', type: '1', linkname: 'rootfs/h' },
    );
    const out = await canonical(bytes);
    expect(out.includes('../../../etc/passwd')).toBe(true);
    await expect(read(bytes)).resolves.toBeDefined();
  });

  it('[A1.3] may hold files and directories called manifest and rootfs in its root (aci/layout_test.go, TestValidateLayout)', async () => {
    const bytes = tar(
      manifest,
      rootfs,
      file('rootfs/manifest', 'malformedManifest'),
      directory('rootfs/dir/rootfs'),
    );
    const summary = await read(bytes);
    expect(summary.entries).toBe(5);
    expect(summary.manifest.name).toBe('example.com/app');
  });

  it('[A1.14] keeps files with the names of whiteouts: an ACI has no whiteouts', async () => {
    const out = await canonical(tar(manifest, rootfs, file('rootfs/.wh.etc'), file('rootfs/.wh..wh..opq')));
    expect(out.includes('rootfs/.wh.etc\0')).toBe(true);
    expect(out.includes('rootfs/.wh..wh..opq\0')).toBe(true);
  });

  it('[A1.4] [A10.3] keeps user attributes and file capabilities, byte for byte, and lists what it omits', async () => {
    const capability = Buffer.from([1, 0, 0, 2, 0x80, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    const bytes = tar(
      manifest,
      pax({
        'SCHILY.xattr.user.note': 'ä=b\n',
        'SCHILY.xattr.security.capability': capability,
        'SCHILY.xattr.trusted.overlay.redirect': '/etc',
        'SCHILY.xattr.user.overlay.whiteout': 'y',
        'SCHILY.xattr.security.selinux': 'x',
      }),
      file('rootfs/ping'),
    );
    const out = await canonical(bytes);
    expect(out.includes(record('SCHILY.xattr.user.note', 'ä=b\n'))).toBe(true);
    expect(out.includes(record('SCHILY.xattr.security.capability', capability))).toBe(true);
    expect(out.includes('overlay')).toBe(false);
    expect((await read(bytes)).droppedXattrs).toEqual([
      'security.selinux',
      'trusted.overlay.redirect',
      'user.overlay.whiteout',
    ]);
  });

  it('[A1.4] keeps set-user-ID, mode 0, late times and large owners', async () => {
    const bytes = tar(
      rootfs,
      { name: 'rootfs/su', mode: 0o4755 },
      { name: 'rootfs/none', mode: 0, mtime: 5_000_000_000 },
      { name: 'rootfs/far', patch: [[108, Buffer.from([0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xf0])]] },
      manifest,
    );
    const once = await canonical(bytes);
    expect(once.includes('0004755\0')).toBe(true);
    expect(once.includes('0000000\x000000000\0')).toBe(true);
    expect(once.includes((5_000_000_000).toString(8))).toBe(true);
    expect(once.includes(record('uid', String(0xfffffff0)))).toBe(true);
    expect((await canonical(once)).equals(once)).toBe(true);
  });
});

const long = (length: number) => 'n'.repeat(length);
const sparse = { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '9' };

/** [what, code, entries that come after a manifest and a rootfs] */
const refusedEntries: [string, RefusalCode, ...RawEntry[]][] = [
  // Paths (aci.md#image-layout)
  ['an absolute path [A10.1]', 'archive-path-forbidden', file('/rootfs/x')],
  ['an absolute path outside [A10.1]', 'archive-path-forbidden', file('/etc/x')],
  ['a path that climbs out [A10.1]', 'archive-path-forbidden', file('rootfs/../../etc/x')],
  ['a path that climbs and returns [A10.1]', 'archive-path-forbidden', file('rootfs/a/../x')],
  ['a path that ends in .. [A10.1]', 'archive-path-forbidden', directory('rootfs/..')],
  ['an empty component [A10.1]', 'archive-path-forbidden', file('rootfs//x')],
  ['a directory with two slashes [A10.1]', 'archive-path-forbidden', directory('rootfs/x//')],
  ['a file with a slash at the end [A10.1]', 'archive-path-forbidden', file('rootfs/x/')],
  ['a third name at the top [A1.3]', 'archive-path-forbidden', file('README')],
  ['a name that only begins like rootfs [A1.3]', 'archive-path-forbidden', file('rootfsX/evil')],
  ['something under the manifest [A1.3]', 'archive-path-forbidden', file('manifest/x')],
  ['an empty name [A10.1]', 'archive-path-forbidden', file('')],
  ['a file called . [A10.1]', 'archive-path-forbidden', file('.')],
  ['a name that is not UTF-8 [A10.1]', 'archive-path-forbidden', { name: Buffer.from([0x72, 0xff, 0xfe]) }],
  ['a PAX path with a NUL [A10.1]', 'archive-path-forbidden', pax({ path: 'rootfs/a\0b' }), file('rootfs/a')],
  ['an empty PAX path [A10.1]', 'archive-path-forbidden', pax({ path: '' }), file('rootfs/a')],
  [
    'a PAX path that climbs out [A10.1]',
    'archive-path-forbidden',
    pax({ path: 'rootfs/../x' }),
    file('rootfs/a'),
  ],
  [
    'a prefix that climbs out [A10.1]',
    'archive-path-forbidden',
    { name: 'x', patch: [[345, 'rootfs/../..']] },
  ],
  ['a file under a file [A10.1]', 'archive-path-forbidden', file('rootfs/a'), file('rootfs/a/b')],
  [
    'a file under a symbolic link [A10.1]',
    'archive-path-forbidden',
    { name: 'rootfs/a', type: '2', linkname: '/etc' },
    file('rootfs/a/passwd'),
  ],
  ['a component of 256 bytes [A10.4]', 'archive-too-large', pax({ path: `rootfs/${long(256)}` }), file('a')],
  [
    'a path past the limit [A10.4]',
    'archive-too-large',
    pax({ path: `rootfs/${'abc/'.repeat(1100)}x` }),
    file('a'),
  ],
  // Duplicates (aci.md: "no duplicate entries")
  ['a path twice [A1.2]', 'archive-entry-duplicate', file('rootfs/a'), file('rootfs/a')],
  ['a path twice, once with ./ [A1.2]', 'archive-entry-duplicate', file('rootfs/a'), file('./rootfs/a')],
  [
    'a path twice, once with a dot within [A1.2]',
    'archive-entry-duplicate',
    file('rootfs/a'),
    file('rootfs/./a'),
  ],
  ['a directory twice [A1.2]', 'archive-entry-duplicate', directory('rootfs/d'), directory('rootfs/d/')],
  ['a second rootfs [A1.2]', 'archive-entry-duplicate', rootfs],
  [
    'a file in the place of a directory [A1.2]',
    'archive-entry-duplicate',
    file('rootfs/a/b'),
    file('rootfs/a'),
  ],
  ['a second manifest [A10.7]', 'image-manifest-duplicate', { ...manifest, name: './manifest' }],
  // Links
  [
    'a hard link out of the root [A10.2]',
    'archive-link-forbidden',
    { name: 'rootfs/h', type: '1', linkname: '../etc/shadow' },
  ],
  [
    'a hard link to an absolute path [A10.2]',
    'archive-link-forbidden',
    { name: 'rootfs/h', type: '1', linkname: '/etc/shadow' },
  ],
  [
    'a hard link to the manifest [A10.2]',
    'archive-link-forbidden',
    { name: 'rootfs/h', type: '1', linkname: 'manifest' },
  ],
  [
    'a hard link to nothing [A10.2]',
    'archive-link-forbidden',
    { name: 'rootfs/h', type: '1', linkname: 'rootfs/none' },
  ],
  [
    'a hard link to itself [A10.2]',
    'archive-link-forbidden',
    { name: 'rootfs/h', type: '1', linkname: 'rootfs/h' },
  ],
  [
    'a hard link to a file that comes later [A10.2]',
    'archive-link-forbidden',
    { name: 'rootfs/h', type: '1', linkname: 'rootfs/z' },
    file('rootfs/z'),
  ],
  [
    'a hard link to a directory [A10.2]',
    'archive-link-forbidden',
    directory('rootfs/d'),
    { name: 'rootfs/h', type: '1', linkname: 'rootfs/d' },
  ],
  [
    'a hard link to a symbolic link [A10.2]',
    'archive-link-forbidden',
    { name: 'rootfs/s', type: '2', linkname: '/etc/shadow' },
    { name: 'rootfs/h', type: '1', linkname: 'rootfs/s' },
  ],
  ['a symbolic link to nothing [A10.2]', 'archive-link-forbidden', { name: 'rootfs/s', type: '2' }],
  [
    'a symbolic link past the limit [A10.2]',
    'archive-link-forbidden',
    pax({ linkpath: long(4096) }),
    { name: 'rootfs/s', type: '2', linkname: 'x' },
  ],
  // Types
  ['a character device [A10.3]', 'archive-entry-unsupported', { name: 'rootfs/c', type: '3' }],
  ['a block device [A10.3]', 'archive-entry-unsupported', { name: 'rootfs/b', type: '4' }],
  ['a GNU sparse file [A10.5]', 'archive-entry-unsupported', { name: 'rootfs/s', type: 'S' }],
  ['a PAX sparse file [A10.5]', 'archive-entry-unsupported', pax(sparse), file('rootfs/s')],
  [
    'a star sparse file [A10.5]',
    'archive-entry-unsupported',
    pax({ 'SCHILY.realsize': '9' }),
    file('rootfs/s'),
  ],
  ['an old GNU long name [A10.5]', 'archive-entry-unsupported', { name: 'rootfs/s', type: 'N' }],
  ['a multi-volume continuation [A10.5]', 'archive-entry-unsupported', { name: 'rootfs/s', type: 'M' }],
  ['an unknown type [A10.5]', 'archive-entry-unsupported', { name: 'rootfs/s', type: 'Z' }],
  [
    'a PAX keyword that POSIX does not know [A10.5]',
    'archive-entry-unsupported',
    pax({ realpath: 'x' }),
    file('rootfs/s'),
  ],
  [
    'names in another encoding [A10.5]',
    'archive-entry-unsupported',
    pax({ hdrcharset: 'BINARY' }),
    file('rootfs/s'),
  ],
  [
    'a path for all entries [A10.5]',
    'archive-entry-unsupported',
    pax({ path: 'rootfs/x' }, 'g'),
    file('rootfs/s'),
  ],
  ['a size for all entries [A10.5]', 'archive-entry-unsupported', pax({ size: '0' }, 'g'), file('rootfs/s')],
  // Damage, and archives that two readers would read differently
  ['a wrong checksum [A10.6]', 'archive-malformed', { name: 'rootfs/a', patch: [[148, '0000001\0']] }],
  ['no magic [A10.6]', 'archive-malformed', { name: 'rootfs/a', patch: [[257, '\0\0\0\0\0\0\0\0']] }],
  [
    'a size that is not octal [A10.6]',
    'archive-malformed',
    { name: 'rootfs/a', patch: [[124, '12x45678901\0']] },
  ],
  ['digits after a size [A10.6]', 'archive-malformed', { name: 'rootfs/a', patch: [[124, '0000 000001\0']] }],
  [
    'a negative size [A10.6]',
    'archive-malformed',
    { name: 'rootfs/a', patch: [[124, Buffer.alloc(12, 0xff)]] },
  ],
  [
    'a size past 2^53 [A10.6]',
    'archive-malformed',
    { name: 'rootfs/a', patch: [[124, Buffer.alloc(12, 0x80)]] },
  ],
  ['a directory with a body [A10.6]', 'archive-malformed', { ...directory('rootfs/d/'), body: 'x' }],
  [
    'a symbolic link with a body [A10.6]',
    'archive-malformed',
    { name: 'rootfs/s', type: '2', linkname: 'a', body: 'x' },
  ],
  ['a star prefix [A10.6]', 'archive-malformed', { name: 'rootfs/a', patch: [[508, 'tar\0']] }],
  [
    'a PAX record that is too long [A10.6]',
    'archive-malformed',
    { ...pax({}), body: '99 path=rootfs/a\n' },
    file('rootfs/a'),
  ],
  [
    'a PAX record without an end [A10.6]',
    'archive-malformed',
    { ...pax({}), body: '15 path=rootfs/' },
    file('rootfs/a'),
  ],
  [
    'a PAX record without a keyword [A10.6]',
    'archive-malformed',
    { ...pax({}), body: '5 =a\n' },
    file('rootfs/a'),
  ],
  ...['X\0', Buffer.from([0x58, 0xff])].map((keyword): [string, RefusalCode, ...RawEntry[]] => [
    `a PAX keyword of ${JSON.stringify(keyword.toString('latin1'))} [A10.6]`,
    'archive-malformed',
    { ...pax({}), body: Buffer.concat([Buffer.from('7 '), Buffer.from(keyword), Buffer.from('=a\n')]) },
    file('rootfs/a'),
  ]),
  [
    'a PAX keyword twice [A10.6]',
    'archive-malformed',
    { ...pax({}), body: Buffer.concat([record('path', 'rootfs/a'), record('path', 'rootfs/b')]) },
    file('rootfs/c'),
  ],
  ['a PAX size that is not a number [A10.6]', 'archive-malformed', pax({ size: '1e3' }), file('rootfs/a')],
  ['two PAX headers [A10.6]', 'archive-malformed', pax({ uid: '1' }), pax({ uid: '2' }), file('rootfs/a')],
  ['a PAX header for nothing [A10.6]', 'archive-malformed', pax({ path: 'rootfs/a' })],
  [
    'a PAX and a GNU name [A10.6]',
    'archive-malformed',
    pax({ path: 'rootfs/a' }),
    { name: '././@LongLink', type: 'L', body: 'rootfs/b\0' },
    file('rootfs/c'),
  ],
  [
    'a GNU name after its NUL [A10.6]',
    'archive-malformed',
    { name: 'l', type: 'L', body: 'rootfs/b\0/c\0' },
    file('rootfs/c'),
  ],
  // Sizes
  [
    'a PAX header past the limit [A10.4]',
    'archive-too-large',
    pax({ comment: long(70_000) }),
    file('rootfs/a'),
  ],
  [
    'a GNU name past the limit [A10.4]',
    'archive-too-large',
    { name: 'l', type: 'L', body: long(5000) },
    file('rootfs/a'),
  ],
  ['a file larger than the limit [A10.4]', 'archive-too-large', { name: 'rootfs/a', size: 2 ** 32 }],
  [
    'a PAX size larger than the limit [A10.4]',
    'archive-too-large',
    pax({ size: '99999999999' }),
    file('rootfs/a'),
  ],
  [
    'an attribute past the limit [A10.4]',
    'archive-too-large',
    pax({ 'SCHILY.xattr.user.a': long(20_000) }),
    file('rootfs/a'),
  ],
  [
    'too many attributes [A10.4]',
    'archive-too-large',
    pax(Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`SCHILY.xattr.user.${i}`, 'x']))),
    file('rootfs/a'),
  ],
];

describe('a refused archive [C34]', () => {
  it.each(refusedEntries)('has %s: %s', async (...row) => {
    const [, code, ...entries] = row;
    const bytes = tar(manifest, rootfs, ...entries);
    expect(await refusal(bytes)).toMatchObject({ code });
    expect(await refusal(gzipSync(bytes))).toMatchObject({ code });
  });

  it.each<[string, RefusalCode, Buffer]>([
    ['no manifest [A1.3]', 'image-manifest-missing', tar(rootfs, file('rootfs/a'))],
    ['a manifest that is invalid [A3.1]', 'image-manifest-invalid', tar(file('manifest', '{}'), rootfs)],
    [
      'the manifest of a pod [A2.4]',
      'image-manifest-invalid',
      tar(file('manifest', manifestText.replace('ImageManifest', 'PodManifest')), rootfs),
    ],
    ['no rootfs [A1.3]', 'archive-malformed', tar(manifest)],
    [
      'a manifest that is a directory [A10.7]',
      'archive-entry-unsupported',
      tar(directory('manifest'), rootfs),
    ],
    [
      'a manifest that is a link [A10.7]',
      'archive-entry-unsupported',
      tar({ name: 'manifest', type: '2', linkname: 'rootfs/m' }),
    ],
    [
      'a rootfs that is a link [A1.3]',
      'archive-entry-unsupported',
      tar(manifest, { name: 'rootfs', type: '2', linkname: '/' }),
    ],
    ['no bytes [A10.6]', 'archive-malformed', Buffer.alloc(0)],
    ['only zeros [A10.6]', 'archive-malformed', Buffer.alloc(10_240)],
    ['noise [A10.6]', 'archive-malformed', createHash('sha512').update('noise').digest()],
    ['no end marker [A10.6]', 'archive-malformed', Buffer.concat([raw(manifest), raw(rootfs)])],
    ['half an end marker [A10.6]', 'archive-malformed', tar(manifest, rootfs).subarray(0, -512)],
    [
      'an entry after a block of zeros [A1.9]',
      'archive-malformed',
      Buffer.concat([raw(manifest), Buffer.alloc(512), tar(rootfs)]),
    ],
    [
      'an archive after the end marker [A1.9]',
      'archive-malformed',
      Buffer.concat([tar(manifest, rootfs), tar(manifest, rootfs)]),
    ],
    [
      'a byte after the end marker [A1.9]',
      'archive-malformed',
      Buffer.concat([tar(manifest, rootfs), Buffer.from([0, 0, 1])]),
    ],
    [
      'bytes after the gzip stream [A10.6]',
      'archive-malformed',
      Buffer.concat([gzipSync(tar(manifest, rootfs)), Buffer.from('junk')]),
    ],
    [
      'zeros after the gzip stream [A10.6]',
      'archive-malformed',
      Buffer.concat([gzipSync(tar(manifest, rootfs)), Buffer.alloc(9000)]),
    ],
    ['a gzip stream cut off [A10.6]', 'archive-malformed', gzipSync(tar(manifest, rootfs)).subarray(0, -1)],
  ])('has %s', async (_what, code, bytes) => {
    expect(await refusal(bytes)).toMatchObject({ code });
  });

  it.each([
    ['in binary', []],
    ['in armor', ['--armor']],
  ])(
    '[A1.7] is encrypted, %s, which the message reports (aci.md#image-archives: MAY)',
    async (_how, armor) => {
      const gnupg = openGnuPg();
      try {
        const password = ['--pinentry-mode', 'loopback', '--passphrase', 'x', '--cipher-algo', 'AES256'];
        const encrypted = gnupg.run(
          [...password, ...armor, '--symmetric'],
          gzipSync(tar(manifest, rootfs)),
        ).stdout;
        expect(await refusal(Buffer.from(encrypted, 'latin1'))).toMatchObject({
          code: 'archive-compression-unsupported',
          message: expect.stringContaining('encrypted') as string,
        });
      } finally {
        gnupg.close();
      }
    },
  );

  it('[A10.6] is cut off at any block: nothing shorter than the whole is accepted', async () => {
    const bytes = tar(manifest, rootfs, file('rootfs/a', 'x'.repeat(1000)), file('rootfs/b'));
    for (let length = 0; length < bytes.length; length += 256) {
      expect(await refusal(bytes.subarray(0, length))).toMatchObject({ code: 'archive-malformed' });
    }
  });

  it('[A10.4] has more entries than the limit, or implies more [C35]', async () => {
    const many = Array.from({ length: 101 }, (_, i) => file(`rootfs/${i}`));
    expect(await refusal(tar(manifest, rootfs, ...many))).toMatchObject({ code: 'archive-too-large' });
    expect(
      await refusal(tar(manifest, pax({ path: `rootfs/${'a/'.repeat(200)}x` }), file('a'))),
    ).toMatchObject({
      code: 'archive-too-large',
    });
  });

  it('[A10.7] has a manifest past the limit', async () => {
    const bytes = tar({ name: 'manifest', body: manifestText.padEnd(2000) }, rootfs);
    expect(await refusal(bytes, { maxManifestBytes: 1999 })).toMatchObject({ code: 'archive-too-large' });
    await expect(read(bytes, { maxManifestBytes: 2000 })).resolves.toBeDefined();
  });

  it('[A10.11] names the entry and the rule in one message, without control characters', async () => {
    const { message } = await refusal(tar(manifest, rootfs, file('rootfs/../\x1b[31m\n\u202e')));
    expect(message).toBe('the entry "rootfs/../\\u001b[31m\\n\\u202e" has a ".." component');
  });
});
