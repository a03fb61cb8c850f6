import { createReadStream, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { writeAci } from '../../../src/operator/build/builder.ts';
import { gzipWithinRatio } from '../../../src/operator/build/gzip-within-ratio.ts';
import { BatchedSink, defaultArchiveLimits } from '../../../src/image/tar/index.ts';
import { inspectArchive, readArchive } from '../../../src/image/aci/index.ts';
import { patchImage } from '../../../src/operator/build/patch.ts';
import { renderImage } from '../../../src/operator/build/render.ts';
import { readImageFile } from '../../../src/operator/fleet/index.ts';
import { fromOci } from '../../../src/operator/oci/index.ts';
import { isRefusal } from '../../../src/core/refusal/index.ts';
import { madeImage } from '../oci/made-image.ts';
import { registryAccess } from '../oci/registry-access.ts';
import { manifestText, pax, type RawEntry, tar } from '../../support/raw-tar.ts';

let directory: string;
const at = (name: string): string => join(directory, name);
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), 'wherry-writers-'))));
afterEach(() => rmSync(directory, { recursive: true }));

const valid = (path: string) => inspectArchive(createReadStream(path), defaultArchiveLimits);
const manifest = Buffer.from(manifestText);
const runs = Number(process.env['WHERRY_TREES'] ?? 100);

/** Mostly one of `good`, because one bad part makes the whole tree refused. */
const mostly = (good: readonly string[], bad: readonly string[]) =>
  fc.oneof(
    { weight: 40, arbitrary: fc.constantFrom(...good) },
    { weight: 1, arbitrary: fc.constantFrom(...bad) },
  );

/** Names, links, owners and times that a layer can have, good and bad ones. */
const entry = fc.record({
  path: fc.array(mostly(['a', 'b', 'é', '.wh.a', '.wh..wh..opq', 'm'.repeat(200)], ['n'.repeat(256)]), {
    minLength: 1,
    maxLength: 4,
  }),
  type: mostly(['0', '0', '0', '2', '5', '5', '6', '3'], ['1']),
  link: mostly(['a', 'b', 'a/b', '/a', '..'], ['', 'l'.repeat(4096)]),
  // Only a long file can exceed the ratio, and it takes most of the time.
  size: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom(0, 1, 600) },
    { weight: 1, arbitrary: fc.constant(1_200_000) },
  ),
  uid: mostly(['0', '4294967294'], ['4294967295']),
  mtime: fc.constantFrom('0', '-5', '8589934592', '99999999999', '1.5'),
});

/**
 * "image validate" must accept a written image. Its refusal becomes another error, so it does not
 * count as one of the writer.
 */
const expectValid = async (path: string): Promise<void> => {
  try {
    await valid(path);
  } catch (cause) {
    throw new Error(`${path} was written, and "image validate" refuses it`, { cause });
  }
};

it('"image validate" accepts every image that a writer completes', { timeout: 3_600_000 }, async () => {
  let written = 0;
  let tried = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(entry, { maxLength: 8 }), { minLength: 1, maxLength: 3 }),
      async (layers) => {
        if (++tried % 1000 === 0)
          console.log(`${tried} trees so far, ${written} images written and accepted`);
        rmSync(directory, { recursive: true, force: true });
        mkdirSync(directory);
        const tars = layers.map((entries) =>
          tar(
            ...entries.flatMap(({ path, type, link, size, uid, mtime }): RawEntry[] => [
              pax({ path: path.join('/'), uid, mtime, ...(link === '' ? {} : { linkpath: link }) }),
              { name: 'x', type, body: type === '0' ? Buffer.alloc(size) : '' },
            ]),
          ),
        );
        const image = madeImage(...tars).write(at('image'));
        const output = at('app.aci');
        for (const layered of [{}, { layers: 'example.com/layers' }]) {
          try {
            const converted = await fromOci({
              ...{ source: image, output, compression: 'gzip', name: 'example.com/app', labels: [] },
              ...{ registry: registryAccess, onLayer: () => undefined, ...layered },
            });
            await expectValid(output);
            for (const { path } of converted.layers) await expectValid(path);
            const among = await Promise.all(converted.layers.map(({ path }) => readImageFile(path)));
            await renderImage({
              image: await readImageFile(output),
              among,
              output: at('rendered.aci'),
              compression: 'gzip',
            });
            await expectValid(at('rendered.aci'));
            await patchImage({
              path: at('rendered.aci'),
              manifest,
              output: at('patched.aci'),
              compression: 'none',
            });
            await expectValid(at('patched.aci'));
            written += 1;
          } catch (error) {
            if (!isRefusal(error)) throw error;
          }
        }
      },
    ),
    { numRuns: runs },
  );
  console.log(`${runs} trees, ${written} images written and accepted`);
  expect(written).toBeGreaterThan(0);
});

it('a gzip stream has the written bytes, although the writer reuses its buffers', async () => {
  const gzip = gzipWithinRatio(defaultArchiveLimits.maxRatio);
  const packed = buffer(gzip);
  const sink = new BatchedSink(gzip, 'the file');
  // A large piece is passed on alone. After it, batches end within the pieces of gzip.
  const sizes = [200_001, ...Array.from({ length: 300 }, (_, index) => 1000 + 97 * index)];
  const bodies = sizes.map((size, index) => Buffer.alloc(size, `${index} `));
  for (const body of bodies) await sink.write(body);
  await sink.end();
  expect(gunzipSync(await packed).equals(Buffer.concat(bodies))).toBe(true);
});

it('a gzip stream within the ratio is accepted in pieces of any size', async () => {
  const block = Buffer.from(Array.from({ length: 20_000 }, (_, index) => (index * 7919) % 251));
  const body = Buffer.concat([Buffer.alloc(3 << 20), ...Array<Buffer>(200).fill(block)]);
  const archive = tar(
    { name: 'manifest', body: manifestText },
    { name: 'rootfs/', type: '5' },
    { name: 'rootfs/a', body },
  );
  const gzip = gzipWithinRatio(defaultArchiveLimits.maxRatio);
  gzip.end(archive);
  const packed = await buffer(gzip);
  // For each 26 MB that compress well, one piece of 256 KiB is kept without references.
  expect(packed.length).toBeLessThan(archive.length / 20);
  const pieces = (async function* () {
    for (let from = 0; from < packed.length; from += 64) {
      await new Promise((resolve) => setImmediate(resolve));
      yield packed.subarray(from, from + 64);
    }
  })();
  await expect(readArchive(pieces, { limits: defaultArchiveLimits })).resolves.toMatchObject({ entries: 3 });
});

it.each<
  [
    string,
    {
      readonly manifest?: Buffer;
      readonly uid?: number;
      readonly xattrs?: { name: string; value: Buffer }[];
    },
    RegExp,
  ]
>([
  [
    'a manifest of more than 1 MiB',
    { manifest: Buffer.from(manifestText + ' '.repeat(1 << 20)) },
    /manifest has \d+ bytes/,
  ],
  ['an owner that no kernel knows', { uid: 2 ** 32 - 1 }, /owner past 2\^32-2/],
  [
    'attributes of more than a header may have',
    {
      xattrs: Array.from({ length: 5 }, (_, index) => ({
        name: `user.${index}`,
        value: Buffer.alloc(16_000),
      })),
    },
    /PAX header of \d+ bytes/,
  ],
])(
  'is refused before anything is written: %s',
  async (_what, { manifest: own = manifest, ...changes }, rule) => {
    const root = {
      path: 'rootfs',
      type: 'directory' as const,
      target: '',
      mode: 0o755,
      uid: 0,
      gid: 0,
      mtime: 0,
      sizeBytes: 0,
      xattrs: [],
      content: undefined,
      inode: undefined,
    };
    writeFileSync(at('keep'), '');
    const written = writeAci({
      manifest: own,
      entries: [{ ...root, ...changes }],
      output: at('o.aci'),
      compression: 'gzip',
    });
    await expect(written).rejects.toThrow(rule);
    await expect(valid(at('o.aci'))).rejects.toThrow();
  },
);

it('a time after 2242, also in SOURCE_DATE_EPOCH, becomes the last one that a tar can hold', async () => {
  const root = {
    path: 'rootfs',
    type: 'directory' as const,
    target: '',
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: 9_999_999_999,
    sizeBytes: 0,
    xattrs: [],
    content: undefined,
    inode: undefined,
  };
  await writeAci({
    manifest,
    entries: [root],
    output: at('o.aci'),
    compression: 'none',
    latest: 9_999_999_999,
  });
  expect((await valid(at('o.aci'))).list.map(({ mtime }) => mtime)).toEqual([8 ** 11 - 1, 8 ** 11 - 1]);
});
