import { Writable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { defaultArchiveLimits } from '../../../src/image/tar/index.ts';
import { readArchive } from '../../../src/image/aci/index.ts';
import {
  type ByteSink,
  impliedDirectory,
  type TarEntry,
  TarWriter,
} from '../../../src/image/tar/tar-writer.ts';
import { walkArchive } from '../../../src/image/aci/walk-archive.ts';
import {
  directory,
  file,
  manifest,
  pax,
  plain,
  type RawEntry,
  rootfs,
  source,
  tar,
} from '../../support/raw-tar.ts';

const limits = defaultArchiveLimits;

/** The canonical tar as `TarWriter` writes it, entry by entry and without rewritten chunks. */
async function written(bytes: Buffer): Promise<Buffer> {
  const parts: Buffer[] = [];
  const sink: ByteSink = {
    write: (part) => {
      parts.push(Buffer.from(part));
      return Promise.resolve();
    },
  };
  const writer = new TarWriter(sink);
  await writer.entry(impliedDirectory('.'));
  await walkArchive(source(bytes), limits, async (entry, body) => {
    for (const path of entry.implied) await writer.entry(impliedDirectory(path));
    const changed: Partial<TarEntry> =
      entry.path === 'manifest' ? { mode: 0o644, uid: 0, gid: 0, xattrs: [] } : {};
    await writer.entry({ ...entry, ...changed });
    for await (const part of body) await writer.body(part);
  });
  await writer.end();
  return Buffer.concat(parts);
}

async function rewritten(bytes: Buffer, size: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  const canonicalTar = new Writable({
    write(part: Buffer, _encoding, done) {
      parts.push(Buffer.from(part));
      done();
    },
  });
  await readArchive(source(bytes, size), { limits, canonicalTar });
  return Buffer.concat(parts);
}

const archive = tar(
  { ...manifest, mode: 0o600, uid: 7 },
  rootfs,
  plain(file('rootfs/plain', 'x'.repeat(1500))),
  file('rootfs/odd', 'y'.repeat(600)),
  plain(file('rootfs/control\x01', 'needs a PAX header')),
  plain({ name: 'rootfs/linked', linkname: 'over' }),
  plain(directory('rootfs/d')),
  directory('rootfs/no-slash'),
  { name: './rootfs/dot', type: '0', body: 'z'.repeat(10) },
  pax({ path: `rootfs/${'long/'.repeat(30)}name`.replaceAll('long/', '') }),
  file('short', 'in a PAX header'),
  file('rootfs/ä', 'needs a PAX header'),
  { name: 'rootfs/left', linkname: 'over' },
  { name: 'rootfs/s', type: '2', linkname: '../x' },
  { name: 'rootfs/h', type: '1', linkname: './rootfs/plain' },
  { name: 'rootfs/old', type: '\0', body: 'v7' },
  file('rootfs/empty', ''),
);
const all = [...Array<RawEntry>(3)].map((_, index) =>
  plain(file(`rootfs/${index}`, String(index).repeat(700))),
);

describe('a canonical tar made of rewritten chunks', () => {
  it.each([1, 100, 511, 512, 513, 1700, 1_000_000])(
    'equals the output of the writer, in pieces of %i bytes',
    async (size) => {
      expect((await rewritten(archive, size)).equals(await written(archive))).toBe(true);
      expect((await rewritten(gzipSync(archive), size)).equals(await written(archive))).toBe(true);
    },
  );

  it('has zeros where the archive pads its blocks with other bytes', async () => {
    const bytes = tar(manifest, rootfs, ...all);
    const hidden = Buffer.from(bytes);
    for (const index of [0, 1, 2]) {
      const end = bytes.indexOf(String(index).repeat(700)) + 700;
      hidden.fill('!', end, end + 324);
    }
    const canonical = await rewritten(gzipSync(hidden), 1_000_000);
    expect(canonical.includes('!')).toBe(false);
    expect(canonical.equals(await written(bytes))).toBe(true);
  });

  it('does not change the bytes of an uncompressed archive, which the caller stores', async () => {
    const bytes = Buffer.from(archive);
    await rewritten(bytes, bytes.length);
    expect(bytes.equals(archive)).toBe(true);
  });
});
