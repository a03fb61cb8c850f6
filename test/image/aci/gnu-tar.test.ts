import { execFileSync } from 'node:child_process';
import {
  createReadStream,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  linkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { defaultArchiveLimits } from '../../../src/image/tar/limits.ts';
import { readArchive } from '../../../src/image/aci/read-archive.ts';
import { manifestText } from '../../support/raw-tar.ts';

/** Names longer than ustar's name (100), than its prefix (155), and not ASCII. */
const longDirectory = `rootfs/${'d'.repeat(90)}/${'e'.repeat(90)}/${'f'.repeat(90)}`;

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-gnu-tar-'));
  const root = join(directory, 'in');
  mkdirSync(join(root, longDirectory), { recursive: true });
  writeFileSync(join(root, 'manifest'), manifestText);
  writeFileSync(join(root, longDirectory, 'file'), 'content');
  writeFileSync(join(root, 'rootfs', 'n'.repeat(200)), 'long name');
  writeFileSync(join(root, 'rootfs/Főtanúsítvány'), 'not ASCII', { mode: 0o4751 });
  // GNU tar 1.34 cuts names at byte 100: inside a character for one of the two, and for the target.
  writeFileSync(join(root, `rootfs/a${'é'.repeat(70)}`), 'cut between bytes');
  writeFileSync(join(root, `rootfs/aa${'é'.repeat(70)}`), 'cut between bytes');
  symlinkSync(`a${'é'.repeat(70)}`, join(root, 'rootfs/cut'));
  linkSync(join(root, `rootfs/aa${'é'.repeat(70)}`), join(root, 'rootfs/cut-too'));
  linkSync(join(root, longDirectory, 'file'), join(root, 'rootfs/hard'));
  linkSync(join(root, longDirectory, 'file'), join(root, longDirectory, 'hard'));
  symlinkSync(`/${'t'.repeat(150)}`, join(root, 'rootfs/symbolic'));
  execFileSync('mkfifo', [join(root, 'rootfs/fifo')]);
});

afterAll(() => rmSync(directory, { recursive: true }));

/** The entries that GNU tar lists in an archive, one line each, sorted. */
function listed(file: string): string[] {
  const text = execFileSync('tar', ['--list', '--verbose', '--numeric-owner', '--full-time', '-f', file], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C.UTF-8', TZ: 'UTC' },
  });
  return text
    .split('\n')
    .map((line) => line.replace(/ +/g, ' ').replace(/(:\d\d)\.\d+ /, '$1 '))
    .filter((line) => line !== '' && !line.endsWith(' ./'))
    .sort();
}

describe('[A10.5] an archive that GNU tar made', () => {
  it.each([
    ['gnu', []],
    ['gnu', ['--sort=name', '--blocking-factor=100']],
    ['posix', []],
    ['posix', ['--pax-option=delete=atime,delete=ctime']],
    ['gnu', ['--mtime=2242-01-01', '--owner=70000000', '--group=5']],
  ])('in format %s with %j is read as GNU tar reads it', async (format, options) => {
    const file = join(directory, 'archive.tar');
    const canonicalFile = join(directory, 'canonical.tar');
    const args = ['--create', `--format=${format}`, ...options, '-C', join(directory, 'in'), '-f', file];
    execFileSync('tar', [...args, 'rootfs', './manifest']);

    const chunks: Buffer[] = [];
    const canonicalTar = new Writable({
      write(chunk: Buffer, _encoding, done) {
        chunks.push(chunk);
        done();
      },
    });
    const summary = await readArchive(createReadStream(file), { limits: defaultArchiveLimits, canonicalTar });
    writeFileSync(canonicalFile, Buffer.concat(chunks));

    const digest = execFileSync('sha512sum', [file], { encoding: 'utf8' }).slice(0, 128);
    expect(summary.imageId).toBe(`sha512-${digest}`);
    const expected = listed(file).map((line) =>
      // the canonical manifest belongs to root and has no ./
      line.endsWith('./manifest') ? line.replace(/^\S+ \S+/, '-rw-r--r-- 0/0').replace('./', '') : line,
    );
    expect(listed(canonicalFile)).toEqual(expected.sort());
    expect(readContent(canonicalFile, `${longDirectory}/hard`)).toBe('content');
  });

  it.each(['gnu', 'posix'])('in format %s is refused with the name that is not UTF-8', async (format) => {
    const file = join(directory, 'latin1.tar');
    const root = join(directory, 'latin1');
    mkdirSync(join(root, 'rootfs'), { recursive: true });
    writeFileSync(join(root, 'manifest'), manifestText);
    writeFileSync(Buffer.concat([Buffer.from(`${root}/rootfs/caf`), Buffer.from([0xe9])]), '');
    execFileSync('tar', ['-c', `--format=${format}`, '-C', root, '-f', file, 'manifest', 'rootfs']);
    await expect(readArchive(createReadStream(file), { limits: defaultArchiveLimits })).rejects.toMatchObject(
      {
        code: 'archive-path-forbidden',
        message: 'the name "rootfs/café" (shown as Latin-1) is not UTF-8; rename the file',
      },
    );
  });

  it('is refused in the format v7, which has no types of files', async () => {
    const file = join(directory, 'v7.tar');
    const root = join(directory, 'v7');
    mkdirSync(join(root, 'rootfs'), { recursive: true });
    writeFileSync(join(root, 'manifest'), manifestText);
    execFileSync('tar', ['-c', '--format=v7', '-C', root, '-f', file, 'manifest', 'rootfs']);
    await expect(readArchive(createReadStream(file), { limits: defaultArchiveLimits })).rejects.toMatchObject(
      {
        code: 'archive-malformed',
      },
    );
  });
});

/** Content of a member, hard links followed, as GNU tar extracts it. */
function readContent(file: string, member: string): string {
  const out = mkdtempSync(join(directory, 'out-'));
  execFileSync('tar', ['-x', '--no-same-owner', '--warning=no-timestamp', '-C', out, '-f', file]);
  return execFileSync('cat', [join(out, member)], { encoding: 'utf8' });
}
