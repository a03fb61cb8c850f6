import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { ArchiveEntry } from '../../../src/image/aci/walk-archive.ts';
import { readArchive } from '../../../src/image/aci/read-archive.ts';
import { defaultArchiveLimits } from '../../../src/image/tar/limits.ts';
import { Refusal } from '../../../src/core/refusal/refusal.ts';
import type { RefusalCode } from '../../../src/core/refusal/codes.ts';
import {
  directory,
  file,
  manifest,
  manifestText,
  pax,
  type RawEntry,
  record,
  rootfs,
  source,
  tar,
} from '../../support/raw-tar.ts';

/**
 * The several ways in which tars can express one thing: POSIX.1-2017 pax ("PAX"), and the GNU tar
 * manual, "Basic Tar Format" and "Storing Sparse Files". An archive that two readers could read
 * differently is refused.
 */

const limits = { ...defaultArchiveLimits, maxTarBytes: 64 * 1024 * 1024 };

/** The entries below rootfs/ by path, or the refusal. */
async function entriesOf(bytes: Buffer): Promise<ReadonlyMap<string, ArchiveEntry>> {
  const entries = new Map<string, ArchiveEntry>();
  await readArchive(source(bytes), { limits, onEntry: (entry) => void entries.set(entry.path, entry) });
  return entries;
}

async function refusal(bytes: Buffer): Promise<Refusal> {
  const outcome = await entriesOf(bytes).catch((error: unknown) => error);
  if (!(outcome instanceof Refusal)) throw new Error(`accepted, or threw ${String(outcome)}`);
  return outcome;
}

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'wherry-dialects-'));
  mkdirSync(join(root, 'rootfs'));
  writeFileSync(join(root, 'manifest'), manifestText);
  writeFileSync(join(root, 'rootfs/file'), 'content');
  writeFileSync(join(root, `rootfs/${'n'.repeat(120)}`), 'long');
  symlinkSync('t'.repeat(150), join(root, 'rootfs/link'));
  mkdirSync(join(root, 'sparse/rootfs'), { recursive: true });
  writeFileSync(join(root, 'sparse/manifest'), manifestText);
  writeFileSync(join(root, 'sparse/rootfs/holes'), 'data before a hole');
  truncateSync(join(root, 'sparse/rootfs/holes'), 1024 * 1024);
});
afterAll(() => rmSync(root, { recursive: true }));

/** The archive that GNU tar writes of `from`. */
function gnuTar(options: readonly string[], from = root): Buffer {
  return execFileSync('tar', ['--create', ...options, '-C', from, 'manifest', 'rootfs'], {
    maxBuffer: 2 ** 24,
  });
}

describe('[A10.5] a sparse file is refused and named (ours: the text has only "tar")', () => {
  it.each<[string, string[]]>([
    ['the old GNU form, type S', ['--format=gnu']],
    ['PAX form 0.0', ['--format=posix', '--sparse-version=0.0']],
    ['PAX form 0.1', ['--format=posix', '--sparse-version=0.1']],
    ['PAX form 1.0', ['--format=posix', '--sparse-version=1.0']],
  ])('as GNU tar writes it in %s', async (_form, options) => {
    const { code, message } = await refusal(gnuTar(['--sparse', ...options], join(root, 'sparse')));
    expect(code).toBe('archive-entry-unsupported');
    expect(message).toMatch(
      / a sparse file\b.*; write the archive without --sparse, or by bsdtar with --no-read-sparse$/,
    );
  });

  it('and the same file is accepted when GNU tar writes it without --sparse', async () => {
    const entries = await entriesOf(gnuTar(['--format=posix'], join(root, 'sparse')));
    expect(entries.get('rootfs/holes')?.sizeBytes).toBe(1024 * 1024);
  });

  it.each<[string, Record<string, string>]>([
    ["GNU's name alone", { 'GNU.sparse.name': 'rootfs/b' }],
    ["GNU's map alone", { 'GNU.sparse.map': '0,1' }],
    ["star's", { 'SCHILY.realsize': '9' }],
    ["Solaris'", { 'SUN.holesdata': '0 1' }],
  ])('as %s keyword declares it', async (_whose, records) => {
    const { code, message } = await refusal(tar(manifest, rootfs, pax(records), file('rootfs/a')));
    expect(code).toBe('archive-entry-unsupported');
    expect(message).toContain('sparse');
  });
});

describe('[A10.5] a PAX header as GNU tar writes it (POSIX pax, Extended Header Keywords)', () => {
  it('may have an attribute of the file (SCHILY.xattr)', async () => {
    const bytes = gnuTar(['--format=posix', '--pax-option=SCHILY.xattr.user.note:=hello']);
    expect((await entriesOf(bytes)).get('rootfs/file')?.xattrs).toEqual([
      { name: 'user.note', value: Buffer.from('hello') },
    ]);
  });

  it('may declare UTF-8 names (hdrcharset) and no other encoding', async () => {
    const declaring = (charset: string) => gnuTar(['--format=posix', `--pax-option=hdrcharset:=${charset}`]);
    await expect(entriesOf(declaring('ISO-IR 10646 2000 UTF-8'))).resolves.toBeDefined();
    expect(await refusal(declaring('BINARY'))).toMatchObject({ code: 'archive-entry-unsupported' });
  });

  it('may have a comment in a global header, and nothing else', async () => {
    await expect(
      entriesOf(gnuTar(['--format=posix', '--pax-option=comment=built by hand'])),
    ).resolves.toBeDefined();
    for (const setting of ['uid=0', 'mtime=1', 'SCHILY.xattr.user.note=hello', 'path=rootfs/other']) {
      const bytes = gnuTar(['--format=posix', `--pax-option=${setting}`]);
      expect(await refusal(bytes)).toMatchObject({ code: 'archive-entry-unsupported' });
    }
  });
});

/** [what, entries after manifest and rootfs, path of the one that is looked at, what it must be] */
const readAs: [string, RawEntry[], string, Partial<ArchiveEntry>][] = [
  [
    'a size in a PAX header overrides the one in the header block (pax, size)',
    [pax({ size: '5' }), { ...file('rootfs/a', 'hello'), size: 0 }],
    'rootfs/a',
    { sizeBytes: 5 },
  ],
  [
    'owners in a PAX header override those in the header block (pax, uid and gid)',
    [pax({ uid: '3000000', gid: '4000000' }), file('rootfs/a')],
    'rootfs/a',
    { uid: 3_000_000, gid: 4_000_000 },
  ],
  [
    'a time in a PAX header loses its fraction (pax, mtime)',
    [pax({ mtime: '1700000000.999999999' }), file('rootfs/a')],
    'rootfs/a',
    { mtime: 1_700_000_000 },
  ],
  [
    'a time before 1970 becomes 1970: the image cannot hold it',
    [pax({ mtime: '-5.5' }), file('rootfs/a')],
    'rootfs/a',
    { mtime: 0 },
  ],
  [
    'a size in base-256 is a number (GNU tar, Basic Tar Format)',
    [{ ...file('rootfs/a', 'hello'), patch: [[124, Buffer.from('800000000000000000000005', 'hex')]] }],
    'rootfs/a',
    { sizeBytes: 5 },
  ],
  [
    'a negative time in base-256 becomes 1970',
    [{ ...file('rootfs/a'), patch: [[136, Buffer.alloc(12, 0xff)]] }],
    'rootfs/a',
    { mtime: 0 },
  ],
  [
    'a long name in a GNU L entry is the name of the next entry',
    [{ name: '././@LongLink', type: 'L', body: 'rootfs/real\0' }, file('rootfs/cut-o')],
    'rootfs/real',
    { type: 'file' },
  ],
  [
    'a long link in a GNU K entry, before or after the L entry, is the target of the next entry',
    [
      { name: '././@LongLink', type: 'K', body: 'real-target\0' },
      { name: '././@LongLink', type: 'L', body: 'rootfs/s\0' },
      { name: 'cut', type: '2', linkname: 'cut' },
    ],
    'rootfs/s',
    { type: 'symlink', target: 'real-target' },
  ],
  [
    'a link path in a PAX header is the target of the next entry (pax, linkpath)',
    [pax({ linkpath: 'real-target' }), { name: 'rootfs/s', type: '2', linkname: 'cut' }],
    'rootfs/s',
    { target: 'real-target' },
  ],
  [
    'a name ends at its first NUL, whatever follows in the field',
    [{ name: Buffer.from('rootfs/a\0bcd') }],
    'rootfs/a',
    { type: 'file' },
  ],
  [
    'the prefix of a ustar header precedes the name (pax, ustar Interchange Format)',
    [{ name: 'a', patch: [[345, 'rootfs']] }],
    'rootfs/a',
    { type: 'file' },
  ],
  [
    'a directory may end with a slash or not, and begin with ./ or not',
    [directory('./rootfs/d'), file('rootfs/d/a')],
    'rootfs/d',
    { type: 'directory' },
  ],
  [
    'a NUL in the place of the type is a file (POSIX: aregtype)',
    [{ ...file('rootfs/a'), type: '\0' }],
    'rootfs/a',
    { type: 'file' },
  ],
  [
    'a contiguous file is a file (POSIX: conttype)',
    [{ ...file('rootfs/a'), type: '7' }],
    'rootfs/a',
    { type: 'file' },
  ],
  [
    'a FIFO is kept (aci.md: files keep their properties)',
    [{ name: 'rootfs/fifo', type: '6', mode: 0o620 }],
    'rootfs/fifo',
    { type: 'fifo', mode: 0o620 },
  ],
];

describe('[A10.5] an archive is read by the rules of its format (ours: the text has only "tar")', () => {
  it.each(readAs)('%s', async (_what, entries, path, expected) => {
    expect((await entriesOf(tar(manifest, rootfs, ...entries))).get(path)).toMatchObject(expected);
  });
});

/** [what, code, entries after manifest and rootfs] */
const refused: [string, RefusalCode, RawEntry[]][] = [
  [
    'a path twice, the second time by a PAX header',
    'archive-entry-duplicate',
    [file('rootfs/a'), pax({ path: './rootfs/a' }), file('rootfs/b')],
  ],
  [
    'a path twice, the second time by a GNU long name',
    'archive-entry-duplicate',
    [file('rootfs/a'), { name: 'l', type: 'L', body: 'rootfs/a\0' }, file('rootfs/b')],
  ],
  [
    'a directory twice, once with a slash and once with ./',
    'archive-entry-duplicate',
    [directory('rootfs/d/'), directory('./rootfs/d')],
  ],
  [
    'a path twice, once with a NUL and more',
    'archive-entry-duplicate',
    [file('rootfs/a'), { name: Buffer.from('rootfs/a\0b') }],
  ],
  [
    'a manifest that a PAX header renames',
    'image-manifest-duplicate',
    [pax({ path: 'manifest' }), file('rootfs/harmless', manifestText)],
  ],
  [
    'a symbolic link that a PAX header renames to rootfs',
    'archive-entry-unsupported',
    [pax({ path: './rootfs' }), { name: 'rootfs/a', type: '2', linkname: '/etc' }],
  ],
  [
    'an attribute twice in one PAX header',
    'archive-malformed',
    [
      {
        ...pax({}),
        body: Buffer.concat([record('SCHILY.xattr.user.a', '1'), record('SCHILY.xattr.user.a', '2')]),
      },
      file('rootfs/a'),
    ],
  ],
  [
    'two GNU long names',
    'archive-malformed',
    [
      { name: 'l', type: 'L', body: 'rootfs/a\0' },
      { name: 'l', type: 'L', body: 'rootfs/b\0' },
      file('rootfs/c'),
    ],
  ],
  [
    'a target in a PAX and in a GNU header',
    'archive-malformed',
    [
      pax({ linkpath: 'one' }),
      { name: 'l', type: 'K', body: 'two\0' },
      { name: 'rootfs/s', type: '2', linkname: 'three' },
    ],
  ],
  [
    'a PAX size that makes headers out of a body',
    'archive-malformed',
    [pax({ size: '0' }), { ...file('rootfs/a', 'not a header') }],
  ],
  [
    'a PAX size on a link',
    'archive-malformed',
    [pax({ size: '512' }), { name: 'rootfs/s', type: '2', linkname: 'a' }],
  ],
  ['a GNU directory dump', 'archive-entry-unsupported', [{ name: 'rootfs/d/', type: 'D' }]],
  ['a volume label', 'archive-entry-unsupported', [{ name: 'rootfs', type: 'V' }]],
  [
    'a file that PAX calls another type',
    'archive-entry-unsupported',
    [pax({ 'SCHILY.filetype': 'door' }), file('rootfs/a')],
  ],
];

describe('[A10.6] an archive that two readers could read differently is refused (ours)', () => {
  it.each(refused)('%s', async (_what, code, entries) => {
    expect(await refusal(tar(manifest, rootfs, ...entries))).toMatchObject({ code });
  });
});

describe('[A10.3] a device node is refused, with what to do (ours)', () => {
  it.each([
    ['character', '3', 'leave it out of the image'],
    ['block', '4', 'leave it out of the image'],
  ])('a %s device', async (kind, type, remedy) => {
    const { code, message } = await refusal(tar(manifest, rootfs, { name: 'rootfs/dev/sda', type }));
    expect(code).toBe('archive-entry-unsupported');
    expect(message).toContain(`"rootfs/dev/sda" is a ${kind} device`);
    expect(message).toContain(remedy);
  });
});
