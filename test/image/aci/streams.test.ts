import { Writable } from 'node:stream';
import { createGzip } from 'node:zlib';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { defaultArchiveLimits } from '../../../src/image/tar/limits.ts';
import { readArchive } from '../../../src/image/aci/read-archive.ts';
import { ImageCheck, walkTar } from '../../../src/image/aci/walk-archive.ts';
import { isRefusal } from '../../../src/core/refusal/refusal.ts';
import { directory, file, manifest, pax, raw, rootfs, source, tar } from '../../support/raw-tar.ts';

const limits = { ...defaultArchiveLimits, maxTarBytes: 64 * 1024 * 1024 };

/** A sink that stores what it receives, and breaks after `takeBytes`. */
function sink(takeBytes = Infinity) {
  const chunks: Buffer[] = [];
  let taken = 0;
  const stream = new Writable({
    highWaterMark: 1024,
    write(chunk: Buffer, _encoding, done) {
      chunks.push(Buffer.from(chunk));
      taken += chunk.length;
      setImmediate(() => done(taken > takeBytes ? new Error('EPIPE') : null));
    },
  });
  return { stream, bytes: () => Buffer.concat(chunks) };
}

/** A gzip stream of a tar with one file of `sizeBytes` zeros, made as it is read. */
function zeroBomb(sizeBytes: number) {
  const gzip = createGzip().setMaxListeners(0);
  const state = { given: 0, released: false };
  const block = Buffer.alloc(1024 * 1024);
  void (async () => {
    gzip.write(Buffer.concat([raw(manifest), raw({ name: 'rootfs/zeros', size: sizeBytes })]));
    for (let written = 0; written < sizeBytes && !gzip.destroyed; written += block.length) {
      if (!gzip.write(block))
        await new Promise<void>((resolve) => gzip.once('drain', resolve).once('close', resolve));
    }
    if (!gzip.destroyed) gzip.end();
  })();
  return Object.assign(state, {
    async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
      try {
        for await (const chunk of gzip as AsyncIterable<Buffer>) {
          state.given += chunk.length;
          yield chunk;
        }
      } finally {
        state.released = true;
      }
    },
  });
}

describe('an archive that unpacks to many times its size [C35] [A10.4]', () => {
  it('is refused at the ratio, long before its end', async () => {
    const bomb = zeroBomb(8 * 1024 ** 3 - 1);
    const reading = readArchive(bomb, { limits: { ...limits, maxTarBytes: 16 * 1024 ** 3 } });
    await expect(reading).rejects.toMatchObject({ code: 'archive-too-large' });
    expect(bomb.given).toBeLessThan(256 * 1024);
    expect(bomb.released).toBe(true);
  });

  it('is refused at a header that declares too much', async () => {
    const bomb = zeroBomb(8 * 1024 ** 3 - 1);
    await expect(readArchive(bomb, { limits })).rejects.toMatchObject({ code: 'archive-too-large' });
    expect(bomb.given).toBeLessThan(64 * 1024);
  });

  it('is refused at the size limit when zeros follow the end marker', async () => {
    const bytes = Buffer.concat([tar(manifest, rootfs), Buffer.alloc(3 * 1024 * 1024)]);
    const endless = source(bytes, 64 * 1024);
    await expect(
      readArchive(endless, { limits: { ...limits, maxTarBytes: 1024 * 1024 } }),
    ).rejects.toMatchObject({ code: 'archive-too-large' });
    expect(endless.given).toBeLessThan(1024 * 1024 + 2 * 64 * 1024);
    expect(endless.ended).toBe(true);
  });

  it('is accepted below one MiB whatever its ratio', async () => {
    await expect(
      readArchive(source(tar(manifest, file('rootfs/a', 'x'.repeat(500_000)))), {
        limits: { ...limits, maxRatio: 0.1 },
      }),
    ).resolves.toBeDefined();
  });
});

describe('the source of an archive', () => {
  it('is closed when an entry is refused', async () => {
    const hostile = source(Buffer.concat([tar(manifest, file('/etc/x')), Buffer.alloc(10_000_000)]));
    await expect(readArchive(hostile, { limits })).rejects.toMatchObject({ code: 'archive-path-forbidden' });
    expect(hostile.given).toBeLessThan(1_000_000);
    expect(hostile.ended).toBe(true);
  });

  it.each([100, 3000])('may fail after %i bytes: its own error is passed on', async (after) => {
    const failure = new Error('the network is gone');
    const bytes = tar(manifest, rootfs, file('rootfs/a', 'x'.repeat(9000)));
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(bytes.subarray(0, after));
      throw failure;
    }
    await expect(readArchive(failing(), { limits })).rejects.toBe(failure);
  });
});

describe('a tar without an end marker whose digest proves that it is complete', () => {
  const whole = tar(file('a', 'x'.repeat(700)));
  const read = async (sizeBytes: number): Promise<string> => {
    let text = '';
    await walkTar(source(whole.subarray(0, sizeBytes)), limits, {
      onTar: () => undefined,
      visit: async (_entry, body) => {
        for await (const chunk of body) text += chunk.toString();
      },
      needsEndMarker: false,
    });
    return text;
  };

  it('may end with the last byte of a file', async () => {
    expect(await read(512 + 700)).toBe('x'.repeat(700));
  });

  it.each([699, 600, 100])('is refused when it has only %i of the 700 bytes of a file', async (sizeBytes) => {
    await expect(read(512 + sizeBytes)).rejects.toMatchObject({ code: 'archive-malformed' });
  });
});

describe('the canonical tar', () => {
  const big = tar(manifest, rootfs, file('rootfs/a', 'a'.repeat(300_000)), file('rootfs/b', 'b'));

  it('is ended when the archive is accepted, and has the same entries', async () => {
    const { stream, bytes } = sink();
    await readArchive(source(big), { limits, canonicalTar: stream });
    expect(stream.writableFinished).toBe(true);
    const again = sink();
    await readArchive(source(bytes()), { limits, canonicalTar: again.stream });
    expect(again.bytes().equals(bytes())).toBe(true);
  });

  it('is destroyed, not ended, when the archive is refused', async () => {
    const { stream } = sink();
    const refused = readArchive(source(tar(manifest, file('rootfs/a'), file('x'))), {
      limits,
      canonicalTar: stream,
    });
    await expect(refused).rejects.toMatchObject({ code: 'archive-path-forbidden' });
    expect(stream.destroyed).toBe(true);
    expect(stream.writableFinished).toBe(false);
  });

  it.each([0, 70_000])('may fail after %i bytes, which is refused and does not hang', async (takeBytes) => {
    const { stream } = sink(takeBytes);
    const input = source(big);
    await expect(readArchive(input, { limits, canonicalTar: stream })).rejects.toMatchObject({
      code: 'image-build-failed',
    });
    expect(input.ended).toBe(true);
  });

  it('may be closed by its consumer at the end', async () => {
    const stream = new Writable({
      write: (_chunk, _encoding, done) => done(),
      final: () => void stream.destroy(),
    });
    await expect(readArchive(source(big), { limits, canonicalTar: stream })).rejects.toMatchObject({
      code: 'image-build-failed',
    });
  });

  it('may have been closed before', async () => {
    const { stream } = sink();
    stream.destroy();
    await expect(readArchive(source(big), { limits, canonicalTar: stream })).rejects.toMatchObject({
      code: 'image-build-failed',
    });
  });
});

describe('[A10.6] a damaged archive', () => {
  const valid = tar(
    manifest,
    rootfs,
    directory('rootfs/d/'),
    pax({ path: 'rootfs/d/long', 'SCHILY.xattr.user.a': 'b', mtime: '1700000000.5' }),
    file('x', 'content'.repeat(200)),
    { name: '././@LongLink', type: 'L', body: `rootfs/${'l'.repeat(120)}\0` },
    file('y'),
    { name: 'rootfs/s', type: '2', linkname: 'd' },
    { name: 'rootfs/h', type: '1', linkname: 'rootfs/d/long' },
  );

  it('is refused or read, but never crashes or hangs the reader, whatever bytes change', async () => {
    const mutation = fc.record({
      at: fc.nat(valid.length - 1),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 16 }),
      fixChecksum: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(mutation, { minLength: 1, maxLength: 4 }),
        fc.nat(valid.length),
        async (mutations, cut) => {
          const bytes = Buffer.from(valid);
          for (const { at, bytes: put, fixChecksum } of mutations) {
            Buffer.from(put).copy(bytes, at);
            if (fixChecksum) writeChecksum(bytes.subarray(at - (at % 512), at - (at % 512) + 512));
          }
          const { stream, bytes: canonical } = sink();
          const input = source(cut % 7 === 0 ? bytes.subarray(0, cut) : bytes, 700);
          const outcome = await readArchive(input, { limits, canonicalTar: stream }).catch(
            (error: unknown) => error,
          );
          expect(input.ended).toBe(true);
          if (outcome instanceof Error) {
            expect(isRefusal(outcome), String(outcome.stack)).toBe(true);
          } else {
            await readCanonical(canonical()); // the canonical tar is itself accepted
          }
        },
      ),
      // The second changes "rootfs/d/" to another directory, so that "rootfs/d" is only implied.
      {
        numRuns: 600,
        examples: [
          [[], 1],
          [[{ at: 1543, bytes: Uint8Array.of(1), fixChecksum: true }], 1],
        ],
      },
    );
  });
});

/**
 * Reads a canonical tar as an image. It has one file more than the archive, which lists the
 * directories that the archive only implies.
 */
async function readCanonical(bytes: Buffer): Promise<void> {
  const check = new ImageCheck(limits);
  await walkTar(source(bytes), limits, {
    onTar: (chunk) => check.update(chunk),
    visit: async (entry) => {
      if (entry.name !== 'implied') check.entry(entry);
      return Promise.resolve();
    },
  });
  check.end();
}

function writeChecksum(block: Buffer): void {
  let sum = 8 * 32;
  for (let i = 0; i < block.length; i++) if (i < 148 || i >= 156) sum += block[i] ?? 0;
  block.write(sum.toString(8).padStart(6, '0') + '\0 ', 148, 'latin1');
}
