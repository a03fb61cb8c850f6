import { createHash, randomFillSync } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { extract } from 'tar-stream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { pullFiles } from '../../../../src/device/jobs/pull/pull-job-codec.ts';
import type { PullJob, PullProgress, PullResult } from '../../../../src/device/jobs/pull/pull-job.ts';
import { pull, signatureAddress } from '../../../../src/device/jobs/pull/pull.ts';
import { openHttpClient } from '../../../../src/wire/http/http-client.ts';
import { imageStore } from '../../../../src/device/store/image-store.ts';
import { nodeDisk } from '../../../../src/device/store/node-disk.ts';
import {
  fakeBuilder,
  gnupgSigner,
  imageOf,
  jobFor,
  manifest,
  temporaryDirectory,
  testImage,
  type Signer,
  type TestImage,
} from '../../../support/test-image.ts';
import {
  serve,
  staticFile,
  steadyRandom,
  TestClock,
  testWindowMs,
  type TestServer,
} from '../../../support/test-server.ts';

let signer: Signer;
let image: TestImage;
let signature: string;
const noise = randomFillSync(Buffer.alloc(600_000));

beforeAll(async () => {
  signer = gnupgSigner();
  image = await testImage({ entries: [{ name: 'rootfs/bin/app', mode: 0o755, body: noise }] });
  signature = signer.sign(image.aci);
});
afterAll(() => signer.remove());

let directory = '';
const cleanUps: (() => unknown)[] = [];
beforeEach(() => {
  const temporary = temporaryDirectory();
  directory = join(temporary.path, 'job');
  mkdirSync(directory);
  cleanUps.push(temporary.remove);
});
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** Serves an image at /app.aci with its signature beside it. */
async function publish(
  aci: RequestListener | Uint8Array,
  asc: string | undefined = signature,
): Promise<TestServer> {
  const file = typeof aci === 'function' ? aci : staticFile(aci);
  const server = await serve((request, response) => {
    if (request.url === '/app.aci') file(request, response);
    else if (request.url === '/app.aci.asc' && asc !== '') response.end(asc);
    else response.writeHead(404).end();
  });
  cleanUps.push(() => server.close());
  return server;
}

const progress: PullProgress[] = [];
/** The delays of the last run. */
let delays: readonly number[] = [];

/** One run of the pull in the job's directory. */
async function run(job: PullJob, builder?: string): Promise<PullResult> {
  const clock = new TestClock();
  clock.advance(Date.now()); // signatures are verified at this time
  const http = openHttpClient({ clock });
  progress.length = 0;
  delays = clock.delays;
  try {
    return await pull(job, {
      clock,
      http,
      random: steadyRandom,
      directory,
      builder: builder ?? fakeBuilder(`${directory}-tools`),
      patience: { windowMs: testWindowMs, idleTries: 2, maxTries: 4, firstDelayMs: 1, maxDelayMs: 1 },
      // A digest of the size instead of the content. The real one is tested in
      // test/device/store/fsverity-program.test.ts.
      futureDigest: async (path) => `digest of ${(await stat(path)).size} bytes`,
      onProgress: (now) => progress.push(now),
    });
  } finally {
    http.close();
  }
}

function job(server: TestServer, of = image, more: Partial<PullJob['image']> = {}): PullJob {
  return jobFor(of, [`${server.url}/app.aci`], [signer.publicKey], more);
}

/** Signs and publishes `of`, pulls it, and expects a refusal that leaves nothing behind. */
async function refusalOf(of: TestImage, more: Partial<PullJob['image']> = {}): Promise<unknown> {
  const result = await run(job(await publish(of.aci, signer.sign(of.aci)), of, more));
  expect(readdirSync(directory)).toEqual([]);
  return result;
}

describe('pulling an image', () => {
  it('makes an object that can be committed, and leaves no download', async () => {
    const server = await publish(image.aci);
    const result = await run(job(server));
    if (!result.ok) throw new Error(result.message);
    const object = readFileSync(join(directory, 'object.erofs'));
    expect(result).toEqual({
      ok: true,
      imageId: image.id,
      manifest: expect.anything() as unknown,
      impliesDirectories: true, // its archive names bin/app, and not bin
      objectSizeBytes: object.length,
      objectSha256: createHash('sha256').update(object).digest('hex'),
      downloadedBytes: image.aci.length,
      signedBy: expect.stringMatching(/^[0-9a-f]{40}$/) as string,
    });
    expect(JSON.parse(Buffer.from(result.manifest).toString())).toEqual(manifest);
    expect(readdirSync(directory)).toEqual(['object.erofs']);
    expect(server.requests.map(({ path }) => path)).toEqual(['/app.aci.asc', '/app.aci']);
    expect(progress.at(-1)).toEqual({ receivedBytes: image.aci.length, totalBytes: image.aci.length });

    const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    const store = imageStore(nodeDisk(), directory, { owner });
    const stored = await store.commit(join(directory, 'object.erofs'), {
      id: result.imageId,
      name: 'example.com/app',
      sizeBytes: result.objectSizeBytes,
      sha256: result.objectSha256,
      manifest: result.manifest,
    });
    expect(await store.verifyFully(stored)).toBeUndefined();
  });

  it('returns the digest that the object will be sealed with, if the job requires it', async () => {
    const server = await publish(image.aci);
    const result = await run(pullFiles.decodeJob(pullFiles.encodeJob({ ...job(server), seals: true })));
    if (!result.ok) throw new Error(result.message);
    expect(result.objectVerity).toBe(`digest of ${result.objectSizeBytes} bytes`);
    const read = pullFiles.decodeResult(pullFiles.encodeResult(result));
    expect(read).toMatchObject({ objectVerity: result.objectVerity });
  });

  it('gives the builder the whole tree, and options that make the same object each time', async () => {
    await run(job(await publish(image.aci)));
    const object = readFileSync(join(directory, 'object.erofs'));
    expect(object.toString('latin1', 2048, 4096).replaceAll('\0', '')).toBe(
      '--quiet --tar=f --sort=none -E^inline_data -b4096 -Uclear -T0 --mkfs-time',
    );
    const names: string[] = [];
    const reader = extract();
    reader.end(object.subarray(4096));
    for await (const entry of reader) {
      names.push(entry.header.name);
      const chunks: Buffer[] = [];
      for await (const chunk of entry) chunks.push(chunk as Buffer);
      if (entry.header.name === 'rootfs/bin/app') expect(Buffer.concat(chunks).equals(noise)).toBe(true);
    }
    expect(names).toEqual(expect.arrayContaining(['manifest', 'rootfs/bin/app']));
  });

  it('makes the builder compress if the configuration requires it', async () => {
    await run({ ...job(await publish(image.aci)), compression: 'lz4' });
    expect(readFileSync(join(directory, 'object.erofs'), 'latin1')).toContain('--tar=f -zlz4 -b4096');
  });

  it('accepts an image that is not compressed', async () => {
    const plain = { ...image, aci: image.tar };
    const result = await run(job(await publish(plain.aci, signer.sign(plain.aci)), plain));
    expect(result).toMatchObject({ ok: true, imageId: image.id });
  });

  it('[C74] waits as the job’s cap requires, and not at all without one', async () => {
    const capped = job(await publish(image.aci));
    await run(capped);
    expect(delays).toEqual([]);
    const maxBytesPerSecond = 10_000_000;
    await run({ ...capped, limits: { ...capped.limits, maxBytesPerSecond } });
    // No time passes on this clock, so the last wait is for all received bytes, signature included.
    const received = image.aci.length + signature.length;
    expect(delays.at(-1)).toBe(Math.ceil((received * 1000) / maxBytesPerSecond));
  });

  it('[C30] continues a download over runs without fetching bytes twice', async () => {
    const cutAt = 250_000;
    const half = await publish((_, response) => {
      response.writeHead(200, { 'content-length': image.aci.length, etag: '"v1"' });
      response.write(image.aci.subarray(0, cutAt), () => response.destroy());
    });
    const interrupted = await run(job(half));
    expect(interrupted).toMatchObject({ ok: false, code: 'download-failed' });
    expect(readdirSync(directory).sort()).toEqual(['download', 'download.meta']);
    const held = readFileSync(join(directory, 'download')).length;
    expect(held).toBeGreaterThan(0);
    await half.close();
    cleanUps.splice(cleanUps.length - 1, 1);

    const whole = await publish(image.aci);
    const result = await run(job(whole));
    expect(result).toMatchObject({ ok: true, downloadedBytes: image.aci.length - held });
    expect(whole.requests[1]?.range).toBe(`bytes=${held}-`);
  });

  it('detects wrong bytes that a power cut left, and fetches the file again', async () => {
    const torn = Buffer.from(image.aci.subarray(0, 300_000));
    torn.fill(0, 200_000);
    writeFileSync(join(directory, 'download'), torn);
    const server = await publish(image.aci);
    const downloadedBytes = image.aci.length - 300_000 + image.aci.length;
    expect(await run(job(server))).toMatchObject({ ok: true, downloadedBytes });
    expect(server.requests.map(({ range }) => range)).toEqual([undefined, 'bytes=300000-', undefined]);
  });

  it('starts over when the file on the server has changed since the last run', async () => {
    writeFileSync(join(directory, 'download'), Buffer.alloc(1000));
    const old = await publish((request, response) => {
      staticFile(image.aci, '"new"')(request, response);
    });
    const url = `${old.url}/app.aci`;
    const { encodeCbor } = await import('../../../../src/core/cbor/encode.ts');
    writeFileSync(join(directory, 'download.meta'), encodeCbor({ url, validator: '"old"' }));
    expect(await run(job(old))).toMatchObject({ ok: true, imageId: image.id });
    expect(old.requests.map(({ ifRange }) => ifRange)).toEqual([undefined, '"old"', undefined]);
  });

  it('makes the object from a complete download without another request', async () => {
    writeFileSync(join(directory, 'download'), image.aci);
    const server = await publish(image.aci);
    expect(await run(job(server))).toMatchObject({ ok: true, downloadedBytes: 0 });
    expect(server.requests.map(({ path }) => path)).toEqual(['/app.aci.asc']);
  });

  it('[C30] [A9.1] fetches the signature beside the file, before the query of the address', () => {
    expect(signatureAddress('https://example.com/a/b.aci')).toBe('https://example.com/a/b.aci.asc');
    expect(signatureAddress('https://example.com/b.aci?token=1')).toBe(
      'https://example.com/b.aci.asc?token=1',
    );
  });
});

describe('an image is refused and nothing is left of it [C31] [C32] [C33] [C37] [A10.11]', () => {
  it('[A9.1] without a signature: image-signature-missing, before a byte of it is fetched', async () => {
    const server = await publish(image.aci, '');
    expect(await run(job(server))).toMatchObject({ ok: false, code: 'image-signature-missing' });
    expect(server.requests.map(({ path }) => path)).toEqual(['/app.aci.asc']);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('with an endless signature: image-signature-invalid', async () => {
    const server = await publish(image.aci, 'x'.repeat(70_000));
    expect(await run(job(server))).toMatchObject({ code: 'image-signature-invalid' });
  });

  it('[A9.19] signed by a key that is not trusted for its name: image-key-untrusted, before it is fetched', async () => {
    const stranger = gnupgSigner();
    cleanUps.push(() => stranger.remove());
    const server = await publish(image.aci, stranger.sign(image.aci));
    expect(await run(job(server))).toMatchObject({ code: 'image-key-untrusted' });
    expect(server.requests).toHaveLength(1);
  });

  it('[C29] accepts a signature from the future only with an untrusted clock', async () => {
    const server = await publish(image.aci);
    const dayAgo = Math.floor(Date.now() / 1000) - 86_400;
    const at = (clockTrusted: boolean) => ({ ...job(server), time: { nowSeconds: dayAgo, clockTrusted } });
    expect(await run(at(true))).toMatchObject({ ok: false, code: 'key-unusable' });
    expect(await run(at(false))).toMatchObject({ ok: true });
  });

  it.each([20, 300_000, -5])('[A9.3] with byte %i flipped: image-signature-invalid', async (offset) => {
    const bad = Buffer.from(image.aci);
    const at = offset < 0 ? bad.length + offset : offset;
    bad[at] = (bad[at] ?? 0) ^ 0x40;
    const server = await publish(bad);
    expect(await run(job(server))).toMatchObject({ ok: false, code: 'image-signature-invalid' });
    expect(readdirSync(directory)).toEqual([]);
    // All bytes are of one answer, so fetching them again would bring the same.
    expect(server.requests.map(({ path }) => path)).toEqual(['/app.aci.asc', '/app.aci']);
  });

  it('[A1.10] [A9.3] compressed again: the image ID is the same, the signature is not: image-signature-invalid', async () => {
    const again = { ...image, aci: gzipSync(image.tar, { level: 9 }) };
    expect(await run(job(await publish(again.aci), again))).toMatchObject({
      code: 'image-signature-invalid',
    });
    const signedAnew = await publish(again.aci, signer.sign(again.aci));
    expect(await run(job(signedAnew, again))).toMatchObject({ ok: true, imageId: image.id });
  });

  it('[A9.21] tampered with so that its archive breaks a rule: the signature is reported', async () => {
    const evil = await testImage({ entries: [{ name: 'rootfs/../etc/x', body: Buffer.from('x') }] });
    const server = await publish(evil.aci, signer.sign(image.aci));
    expect(await run(job(server, evil))).toMatchObject({ ok: false, code: 'image-signature-invalid' });
    expect(readdirSync(directory)).toEqual([]);
  });

  it('[A2.6] that is not the commanded one: image-id-mismatch', async () => {
    const other = await testImage({ entries: [{ name: 'rootfs/other', body: noise.subarray(0, 100) }] });
    expect(await refusalOf({ ...other, id: image.id })).toMatchObject({ code: 'image-id-mismatch' });
  });

  it.each([
    [
      'another name [A7.12] [A9.19]',
      'image-name-mismatch',
      { name: 'example.com/other' },
      /calls it example.com\/other/,
    ],
    [
      'another label [A7.12]',
      'image-labels-mismatch',
      { labels: [{ name: 'version', value: '2' }] },
      /version is "2", but the command names "1.0.0"/,
    ],
    ['a missing label [A7.12]', 'image-labels-mismatch', { labels: [] }, /version is missing/],
    [
      'another architecture [A8.6]',
      'image-arch-mismatch',
      {
        labels: [
          { name: 'os', value: 'linux' },
          { name: 'arch', value: 'amd64' },
          { name: 'version', value: '1.0.0' },
        ],
      },
      /for linux\/amd64; this device runs linux\/aarch64, linux\/armv7l/,
    ],
    [
      'another operating system [A8.6]',
      'image-arch-mismatch',
      {
        labels: [
          { name: 'os', value: 'freebsd' },
          { name: 'version', value: '1.0.0' },
        ],
      },
      /for freebsd\/any/,
    ],
  ])('with %s in its manifest: %s', async (_, code, change, message) => {
    const result = await refusalOf(await testImage({ manifest: { ...manifest, ...change } }));
    expect(result).toMatchObject({ ok: false, code, message: expect.stringMatching(message) as string });
  });

  it('with a file outside of its root: archive-path-forbidden', async () => {
    const evil = await testImage({
      entries: [
        { name: 'rootfs/../../etc/x', body: Buffer.from('x') },
        { name: 'rootfs/big', body: noise },
      ],
    });
    expect(await refusalOf(evil)).toMatchObject({ code: 'archive-path-forbidden' });
  });

  it('[A10.4] that unpacks to more than announced: archive-too-large', async () => {
    expect(await refusalOf(image, { tarSizeBytes: 100_000 })).toMatchObject({ code: 'archive-too-large' });
  });

  it('that unpacks to more than the device allows: archive-too-large, before anything is fetched', async () => {
    const server = await publish(image.aci);
    const result = await run(job(server, image, { tarSizeBytes: 2e9 }));
    expect(result).toMatchObject({ code: 'archive-too-large' });
    expect(server.requests).toEqual([]);
  });

  it.each([
    ['maxRatio', 20, /more than 20 times its size/],
    ['maxEntries', 2, /./],
  ] as const)(
    '[A10.4] that is beyond the %s of the job: archive-too-large',
    async (limit, value, message) => {
      const zeros = [{ name: 'rootfs/zeros', body: Buffer.alloc(4 << 20) }];
      const large = await testImage({
        entries: [...zeros, { name: 'rootfs/app', body: noise.subarray(0, 100) }],
      });
      const given = job(await publish(large.aci, signer.sign(large.aci)), large);
      expect(await run({ ...given, limits: { ...given.limits, maxRatio: 10_000 } })).toMatchObject({
        ok: true,
      });
      const limits = { ...given.limits, maxRatio: 10_000, [limit]: value };
      expect(await run({ ...given, limits })).toMatchObject({
        code: 'archive-too-large',
        message: expect.stringMatching(message) as string,
      });
    },
  );

  it('[A9.21] [A10.6] whose signed file is not an archive: archive-malformed', async () => {
    const junk = { ...imageOf(noise), aci: noise };
    expect(await refusalOf(junk)).toMatchObject({ code: 'archive-malformed' });
  });

  it('whose file on the server is cut off: download-truncated', async () => {
    const server = await publish(image.aci.subarray(0, 1000));
    expect(await run(job(server))).toMatchObject({ ok: false, code: 'download-truncated' });
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('a builder that', () => {
  it('fails has its output quoted: image-build-failed', async () => {
    const tool = fakeBuilder(`${directory}-tools`, `console.error('<E> erofs: it broke'); process.exit(1);`);
    const result = await run(job(await publish(image.aci)), tool);
    expect(result).toMatchObject({ ok: false, code: 'image-build-failed' });
    expect((result as { message: string }).message).toContain('it broke');
    expect(readdirSync(directory)).toEqual([]);
  });

  it('reports an error and exits with status 0 has failed', async () => {
    const tool = fakeBuilder(
      `${directory}-tools`,
      `console.error('<E> erofs: failed to write: Input/output error');`,
    );
    const result = await run(job(await publish(image.aci)), tool);
    expect(result).toMatchObject({ code: 'image-build-failed' });
    expect(existsSync(join(directory, 'object.erofs'))).toBe(false);
  });

  it('finds the disk full: no-space', async () => {
    const text = '<E> erofs: failed to write: No space left on device';
    const tool = fakeBuilder(
      `${directory}-tools`,
      `console.error(${JSON.stringify(text)}); process.exit(1);`,
    );
    expect(await run(job(await publish(image.aci)), tool)).toMatchObject({ code: 'no-space' });
  });

  it('is not installed: device-unsupported', async () => {
    const result = await run(job(await publish(image.aci)), '/nowhere/mkfs.erofs');
    expect(result).toMatchObject({ ok: false, code: 'device-unsupported' });
  });

  it('never ends is ended when the image is refused', async () => {
    const tool = fakeBuilder(
      `${directory}-tools`,
      `process.stdin.resume(); setInterval(() => {}, 1000); if (true) return;`,
    );
    const bad = Buffer.from(image.aci);
    bad[400_000] = (bad[400_000] ?? 0) ^ 1;
    expect(await run(job(await publish(bad)), tool)).toMatchObject({ code: 'image-signature-invalid' });
  });
});
