import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openHttpClient } from '../../../../src/wire/http/http-client.ts';
import { pull } from '../../../../src/device/jobs/pull/pull.ts';
import { refusalCodes, type RefusalCode } from '../../../../src/core/refusal/codes.ts';
import {
  directory as directoryEntry,
  file,
  pax,
  rootfs,
  tar,
  type RawEntry,
} from '../../../support/raw-tar.ts';
import { openGnuPg, type GnuPg } from '../../../support/gnupg.ts';
import {
  fakeBuilder,
  imageOf,
  jobFor,
  manifest,
  temporaryDirectory,
  type TestImage,
} from '../../../support/test-image.ts';
import { serve, staticFile, steadyRandom, TestClock, testWindowMs } from '../../../support/test-server.ts';

let gpg: GnuPg;
let good: string;
let weak: string;
beforeAll(() => {
  gpg = openGnuPg();
  good = gpg.newKey('images', 'ed25519');
  weak = gpg.newKey('weak', 'rsa2048');
});
afterAll(() => gpg.close());

let directory: string;
let remove: () => void;
beforeEach(() => {
  const temporary = temporaryDirectory();
  ({ remove } = temporary);
  directory = join(temporary.path, 'job');
  mkdirSync(directory);
});
afterEach(() => remove());

const manifestEntry = (change: object = {}): RawEntry =>
  file('manifest', JSON.stringify({ ...manifest, ...change }));
const sound = tar(manifestEntry(), rootfs);
const holding = (...entries: readonly RawEntry[]): Buffer => tar(manifestEntry(), rootfs, ...entries);
const saying = (change: object): Buffer => tar(manifestEntry(change), rootfs);

interface Attempt {
  /** The uncompressed archive. */
  readonly archive: Buffer;
  /** The served file; by default the archive with gzip. */
  readonly aci?: Buffer;
  readonly key?: () => string;
  /** The served signature; by default a good one. */
  readonly asc?: (aci: Buffer) => string;
  readonly image?: Parameters<typeof jobFor>[3];
  /** How many keys must sign, on a device with a root of trust. */
  readonly threshold?: number;
}

async function pulled({
  archive,
  aci,
  key = () => good,
  asc,
  image = {},
  threshold,
}: Attempt): Promise<unknown> {
  const made: TestImage = imageOf(archive);
  const of = aci === undefined ? made : { ...made, aci };
  const signature = asc === undefined ? gpg.sign(of.aci, key()) : asc(of.aci);
  const server = await serve((request, response) => {
    if (request.url === '/app.aci') staticFile(of.aci)(request, response);
    else if (signature === '') response.writeHead(404).end();
    else response.end(signature);
  });
  const clock = new TestClock();
  clock.advance(Date.now());
  const http = openHttpClient({ clock });
  try {
    const job = jobFor(of, [`${server.url}/app.aci`], [gpg.export(good), gpg.export(weak)], image);
    const asked = threshold === undefined ? job : { ...job, threshold };
    return await pull(asked, {
      clock,
      http,
      random: steadyRandom,
      directory,
      builder: fakeBuilder(`${directory}-tools`),
      patience: { windowMs: testWindowMs, idleTries: 1, maxTries: 1, firstDelayMs: 1, maxDelayMs: 1 },
      onProgress: () => undefined,
    });
  } finally {
    http.close();
    await server.close();
  }
}

/** The code, what is wrong, and the message after the image's name. */
const cases: readonly [RefusalCode, Attempt, string | RegExp][] = [
  [
    'image-signature-missing',
    { archive: sound, asc: () => '' },
    /^there is no signature at http:\S+\.aci\.asc$/,
  ],
  [
    'image-signature-invalid',
    { archive: sound, asc: () => gpg.sign(Buffer.from('x'), good) },
    'the signature does not match the data',
  ],
  [
    'image-signature-invalid',
    { archive: sound, asc: () => 'noise' },
    /is not one armored block "PGP SIGNATURE"; sign with --armor --detach-sign$/,
  ],
  [
    'image-threshold-not-met',
    { archive: sound, threshold: 2 },
    '1 of the keys of its role signed the image; 2 must',
  ],
  [
    'image-key-untrusted',
    { archive: sound, key: () => gpg.newKey('stranger', 'ed25519') },
    /^signed by key [0-9a-f]{40}, which is not trusted for this$/,
  ],
  [
    'key-unusable',
    { archive: sound, key: () => weak },
    /^key [0-9a-f]{40} cannot be used: rsaEncryptSign 2048 bits is too weak/,
  ],
  [
    'image-id-mismatch',
    { archive: sound, image: { id: `sha512-${'0'.repeat(128)}` as never } },
    /^its content is sha512-[0-9a-f]{128}, but the command names sha512-0{128}$/,
  ],
  [
    'image-name-mismatch',
    { archive: saying({ name: 'example.com/b' }) },
    'its manifest calls it example.com/b',
  ],
  [
    'image-labels-mismatch',
    { archive: saying({ labels: [] }) },
    'its label version is missing, but the command names "1.0.0"',
  ],
  [
    'image-arch-mismatch',
    {
      archive: saying({
        labels: [
          { name: 'os', value: 'linux' },
          { name: 'arch', value: 'amd64' },
          { name: 'version', value: '1.0.0' },
        ],
      }),
    },
    'it is for linux/amd64; this device runs linux/aarch64, linux/armv7l',
  ],
  ['image-manifest-missing', { archive: tar(rootfs) }, 'the archive has no manifest'],
  [
    'image-manifest-duplicate',
    { archive: holding(manifestEntry()) },
    'the archive has more than one manifest',
  ],
  [
    'image-manifest-invalid',
    {
      archive: saying({
        app: { user: '0', group: '0', isolators: [{ name: 'resource/cpu', value: { limit: 'x' } }] },
      }),
    },
    'image manifest: /app/isolators/0/value/limit: expected a quantity such as "512Mi", "1.5G" or "250m", found "x"',
  ],
  [
    'archive-malformed',
    { archive: sound, aci: gzipSync(sound).subarray(0, -4) },
    /gzip stream is damaged, cut off, or followed by other data/,
  ],
  [
    'archive-compression-unsupported',
    { archive: sound, aci: Buffer.from(`-----BEGIN PGP MESSAGE-----\n${'A'.repeat(400)}`) },
    /encrypted with OpenPGP/,
  ],
  [
    'archive-path-forbidden',
    { archive: holding(file('rootfs/../x')) },
    'the entry "rootfs/../x" has a ".." component',
  ],
  [
    'archive-link-forbidden',
    { archive: holding({ name: 'rootfs/h', type: '1', linkname: 'rootfs/none' }) },
    /"rootfs\/h".*"rootfs\/none"/,
  ],
  [
    'archive-entry-duplicate',
    { archive: holding(file('rootfs/a'), file('./rootfs/a')) },
    /"(\.\/)?rootfs\/a"/,
  ],
  [
    'archive-entry-unsupported',
    { archive: holding(directoryEntry('rootfs/dev'), { name: 'rootfs/dev/sda', type: '4' }) },
    /"rootfs\/dev\/sda" is a block device/,
  ],
  [
    'archive-too-large',
    { archive: holding(pax({ path: `rootfs/${'n'.repeat(256)}` }), file('x')) },
    /"rootfs\/n+.*255/,
  ],
];

describe('[A10.11] a refused image has its message and leaves nothing', () => {
  it.each(cases)('%s', async (code, attempt, sentence) => {
    const {
      ok,
      code: given,
      message,
    } = (await pulled(attempt)) as { ok: boolean; code: string; message: string };
    expect({ ok, given }).toEqual({ ok: false, given: code });
    const prefix = 'example.com/app: ';
    expect(message.startsWith(prefix)).toBe(true);
    const rest = message.slice(prefix.length);
    if (typeof sentence === 'string') expect(rest).toBe(sentence);
    else expect(rest).toMatch(sentence);
    // One line of printable text, for the journal and the report.
    expect(message).toMatch(/^\P{C}+$/u);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('has a case for every code of an image except those of dependencies, builder and store', () => {
    const elsewhere = [
      'image-dependency-missing',
      'image-dependency-invalid',
      'image-build-failed',
      'image-corrupt',
    ];
    const said = new Set<string>([...cases.map(([code]) => code), ...elsewhere]);
    const ofImages = Object.entries(refusalCodes).filter(([, [kind]]) => kind === 'image');
    expect(ofImages.map(([code]) => code).filter((code) => !said.has(code))).toEqual([]);
  });
});
