import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { type ArchiveSummary, readArchive } from '../../../src/image/aci/read-archive.ts';
import { defaultArchiveLimits } from '../../../src/image/tar/limits.ts';
import { isRefusal } from '../../../src/core/refusal/refusal.ts';
import { file, manifest, rootfs, source, tar } from '../../support/raw-tar.ts';

const limits = { ...defaultArchiveLimits, maxTarBytes: 64 * 1024 * 1024 };
const plain = tar(manifest, rootfs, file('rootfs/a', 'x'.repeat(5000)), file('rootfs/b'));

const read = (bytes: Buffer, chunk = 4096): Promise<ArchiveSummary> =>
  readArchive(source(bytes, chunk), { limits });

function compress(command: string, args: readonly string[], bytes: Buffer = plain): Buffer {
  return execFileSync(command, ['-c', ...args], {
    input: bytes,
    maxBuffer: 2 ** 28,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
}

/** Each program at its usual level, and at the highest one that a device accepts. */
const forms: readonly [string, string, readonly string[]][] = [
  ['bzip2', 'bzip2', ['-9']],
  ['bzip2', 'bzip2', ['-1']],
  ['xz', 'xz', ['-6']],
  ['xz', 'xz', ['-7', '--check=sha256']],
  ['zstd', 'zstd', ['-3', '-q']],
  ['zstd', 'zstd', ['-19', '-q']],
];

describe('[A1.5] an image archive (aci.md#image-archives; zstd is ours)', () => {
  it.each(forms)('compressed by %s (%s %j) has the image ID of its tar', async (name, command, args) => {
    const summary = await read(compress(command, args));
    expect(summary).toEqual({ ...(await read(plain)), compression: name });
  });

  it.each([1, 333, 100_000])('is read in pieces of %i bytes', async (chunk) => {
    for (const [name, command] of [
      ['bzip2', 'bzip2'],
      ['xz', 'xz'],
      ['zstd', 'zstd'],
    ] as const) {
      expect((await read(compress(command, []), chunk)).compression).toBe(name);
    }
  });

  it('[A1.6] may be several streams, one after the other', async () => {
    for (const command of ['bzip2', 'xz', 'zstd']) {
      const half = Math.floor(plain.length / 2);
      const parts = [plain.subarray(0, half), plain.subarray(half)].map((part) =>
        compress(command, [], part),
      );
      expect((await read(Buffer.concat(parts))).imageId).toBe((await read(plain)).imageId);
    }
  });
});

describe.each(['bzip2', 'xz', 'zstd'])('[A10.6] a %s stream is refused when', (command) => {
  const whole = compress(command, []);
  it.each<[string, Buffer]>([
    ['it is cut off', whole.subarray(0, -1)],
    ['it is cut off in the middle', whole.subarray(0, whole.length / 2)],
    ['other data follows it', Buffer.concat([whole, Buffer.from('junk after the stream')])],
    [
      'a byte of it is damaged',
      Buffer.concat([whole.subarray(0, 40), Buffer.from([whole[40] === 0 ? 1 : 0]), whole.subarray(41)]),
    ],
    ['there is only its mark', whole.subarray(0, 6)],
  ])('%s', async (_what, bytes) => {
    await expect(read(bytes)).rejects.toMatchObject({ code: 'archive-malformed' });
  });

  it('it unpacks to many times its size [C35] [A10.4]', async () => {
    const bomb = compress(
      command,
      ['-1'],
      tar(manifest, rootfs, file('rootfs/zeros', '\0'.repeat(32 * 1024 * 1024))),
    );
    await expect(read(bomb)).rejects.toMatchObject({ code: 'archive-too-large' });
  });
});

it.each<[string, string[]]>([
  ['xz', ['--lzma2=dict=256MiB']],
  ['zstd', ['-q', '--long=27']],
])(
  'a %s stream that needs more memory than a device allows is refused [C35] [A10.4]',
  async (command, args) => {
    const reading = read(compress(command, args));
    await expect(reading).rejects.toMatchObject({
      code: 'archive-too-large',
      message: expect.stringContaining('of memory') as string,
    });
  },
);

it('names the package when the decompression program is not installed', async () => {
  const bytes = compress('xz', []);
  const path = process.env['PATH'];
  process.env['PATH'] = '/nowhere';
  try {
    await expect(read(bytes)).rejects.toMatchObject({
      code: 'archive-compression-unsupported',
      message: expect.stringContaining('install the package xz-utils') as string,
    });
  } finally {
    process.env['PATH'] = path;
  }
});

it('closes its source and ends the program when the reader stops early', async () => {
  const bytes = compress(
    'xz',
    ['-0'],
    tar(manifest, rootfs, { ...file('rootfs/noise'), body: randomBytes(4 * 1024 * 1024) }),
  );
  const input = source(bytes, 65_536);
  const refused = await readArchive(input, { limits: { ...limits, maxTarBytes: 100_000 } }).catch(
    (error: unknown) => error,
  );
  expect(isRefusal(refused, 'archive-too-large')).toBe(true);
  expect(input.ended).toBe(true);
  expect(input.given).toBeLessThan(bytes.length);
});

describe('an archive that is compressed twice', () => {
  it.each([
    ['gzip', 'gzip'],
    ['xz', 'gzip'],
    ['zstd', 'gzip'],
    ['bzip2', 'gzip'],
    ['gzip', 'zstd'],
  ])('is named: %s within %s', async (inner, outer) => {
    await expect(read(compress(outer, [], compress(inner, [])))).rejects.toMatchObject({
      code: 'archive-compression-unsupported',
      message: `it is compressed twice: there is ${inner} within the ${outer}; compress the tar once`,
    });
  });

  it('is not one whose first name is the magic of a compression', async () => {
    const layer = tar(file('BZh9'), manifest, rootfs);
    await expect(read(compress('gzip', [], layer))).rejects.toMatchObject({ code: 'archive-path-forbidden' });
  });
});
