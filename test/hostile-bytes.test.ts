import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultArchiveLimits, readArchive } from '../src/aci/index.ts';
import { parseImageManifest, parseNameString, parsePodManifest, parseQuantity } from '../src/appc/index.ts';
import { parseCredentials } from '../src/fetch/operator.ts';
import { readMetaTags } from '../src/fetch/meta-tags.ts';
import { parseConfig, parseDocument, parseSavedImages } from '../src/oci/documents.ts';
import { appcArchitecture } from '../src/oci/platform.ts';
import { runtimeOf } from '../src/oci/runtime.ts';
import { isRefusal } from '../src/refusal/index.ts';
import { decodeEvent, decodePresence, decodeReport } from '../src/session/index.ts';
import {
  decodeDesiredState,
  decodeEnvelope,
  encodeDesiredState,
  encodeEnvelope,
} from '../src/trust/index.ts';
import { reviewKeys, signatureVerifier } from '../src/trust/openpgp.ts';
import { generateKey, signDetached } from '../src/trust/sign.ts';
import { file, manifest, pax, rootfs, source, tar } from './aci/raw-tar.ts';

/**
 * Every parser of bytes that somebody else chose, fed with damaged forms of what it is meant for: it answers or refuses, and does
 * nothing else. `WHERRY_FUZZ_RUNS` (300) says how often; a failure prints the seed that repeats it.
 */
const numRuns = Number(process.env['WHERRY_FUZZ_RUNS'] ?? 300);

const key = await generateKey({ name: 'fuzz' });
const signature = await signDetached(Buffer.from('data'), key.privateKey, Math.floor(Date.now() / 1000) + 1);
const id = `sha512-${'0'.repeat(128)}`;
const digest = `sha256:${'0'.repeat(64)}`;
const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const app = {
  exec: ['/bin/a'],
  user: '0',
  group: '0',
  isolators: [{ name: 'resource/memory', value: { limit: '1Gi' } }],
};
const image = json({
  acKind: 'ImageManifest',
  acVersion: '0.8.11',
  name: 'example.com/a',
  labels: [{ name: 'os', value: 'linux' }],
  app,
});
const pod = json({
  acKind: 'PodManifest',
  acVersion: '0.8.11',
  apps: [{ name: 'a', image: { id, name: 'example.com/a' }, app }],
  volumes: [{ name: 'v', kind: 'empty' }],
});
const desired = encodeDesiredState({
  format: 1,
  fleet: 'f' as never,
  target: { device: 'd' as never },
  version: 1,
  issued: 1,
  expires: 2,
  pods: [{ name: 'p' as never, manifest: pod }],
  images: [
    {
      id: id as never,
      name: 'example.com/a' as never,
      labels: [],
      sizeBytes: 1,
      tarSizeBytes: 1,
      urls: ['https://a.example/x'],
    },
  ],
  policy: { probationSeconds: 1, reconnectWindowSeconds: 1, limits: 'require' },
});
const archive = tar(
  pax({ path: 'rootfs/long', 'SCHILY.xattr.user.a': 'b' }),
  file('x', 'body'),
  rootfs,
  manifest,
);
const compressed = (command: string) =>
  execFileSync(command, ['-c'], { input: archive, stdio: ['pipe', 'pipe', 'ignore'] });
const limits = { ...defaultArchiveLimits, maxTarBytes: 1 << 20 };
const oci = json({
  schemaVersion: 2,
  config: { digest, size: 1 },
  layers: [{ digest, size: 1, platform: { os: 'linux', architecture: 'arm' } }],
});

const readTar = (bytes: Buffer) => readArchive(source(bytes), { limits });
const text = (read: (text: string) => unknown) => (bytes: Buffer) => read(bytes.toString('latin1'));

interface Target {
  readonly seed: Uint8Array;
  readonly parse: (bytes: Buffer) => unknown;
  /** Parsers that start a process for each input are asked less often. */
  readonly share?: number;
}

const targets: Readonly<Record<string, Target>> = {
  'an image manifest': { seed: image, parse: parseImageManifest },
  'a pod manifest': { seed: pod, parse: parsePodManifest },
  'a quantity': { seed: Buffer.from('128.5Mi'), parse: text(parseQuantity) },
  'a name with labels': {
    seed: Buffer.from('example.com/app:1.0,channel=alpha'),
    parse: text((name) => parseNameString(name)),
  },
  'a desired state': { seed: desired, parse: decodeDesiredState },
  'an envelope': {
    seed: encodeEnvelope({ payload: desired, signatures: [signature] }),
    parse: decodeEnvelope,
  },
  'a report': { seed: desired, parse: decodeReport },
  'an event': { seed: desired, parse: decodeEvent },
  'a presence': { seed: desired, parse: decodePresence },
  'an OpenPGP signature': {
    seed: Buffer.from(signature),
    parse: text((armored) => signatureVerifier(armored, [key.publicKey], 1_800_000_000, true)),
    share: 3,
  },
  'an OpenPGP key': {
    seed: Buffer.from(key.publicKey),
    parse: text((armored) => reviewKeys(armored, 1_800_000_000)),
    share: 3,
  },
  'an archive': { seed: archive, parse: readTar },
  'a gzip archive': { seed: compressed('gzip'), parse: readTar },
  'a bzip2 archive': { seed: compressed('bzip2'), parse: readTar, share: 20 },
  'an xz archive': { seed: compressed('xz'), parse: readTar, share: 20 },
  'a zstd archive': { seed: compressed('zstd'), parse: readTar, share: 20 },
  'a page with discovery tags': {
    seed: Buffer.from(
      '<html><meta name="ac-discovery" content="example.com https://a/{name}.{ext}"><!-- x --></html>',
    ),
    parse: (bytes) => readMetaTags(source(bytes), 1 << 16),
  },
  'an OCI manifest': { seed: oci, parse: (bytes) => parseDocument(bytes, 'x') },
  'an OCI config': {
    seed: json({
      os: 'linux',
      architecture: 'arm',
      config: { Env: ['A=b'], ExposedPorts: { '80/tcp': {} } },
      rootfs: { diff_ids: [digest] },
    }),
    parse: (bytes) => {
      const config = parseConfig(bytes, 'x');
      runtimeOf(config, '');
      return appcArchitecture(config.platform);
    },
  },
  'the manifest of docker save': {
    seed: json([{ Config: 'c', RepoTags: ['a:1'], Layers: ['l'] }]),
    parse: parseSavedImages,
  },
  'a file of credentials': {
    seed: Buffer.from('["a.example"]\nuser = "u"\npassword = "p"\n'),
    parse: text((toml) => parseCredentials(toml, 'x')),
  },
};

/** `seed` with some bytes changed, taken out, doubled or put in; now and then bytes that have nothing to do with it. */
function damaged(seed: Uint8Array): fc.Arbitrary<Buffer> {
  const at = fc.nat(Math.max(seed.length, 1) - 1);
  const edit = fc.oneof(
    fc.record({ at, cut: fc.nat(16), put: fc.uint8Array({ maxLength: 8 }) }),
    fc.record({
      at,
      cut: fc.constant(0),
      put: fc.constantFrom(...[0, 0x22, 0x5c, 0x7b, 0x80, 0xff].map((byte) => Uint8Array.of(byte))),
    }),
    fc.record({ at, cut: fc.constant(seed.length), put: fc.constant(new Uint8Array()) }),
  );
  const edited = fc
    .array(edit, { minLength: 1, maxLength: 6 })
    .map((edits) =>
      edits.reduce<Buffer>(
        (bytes, { at: from, cut, put }) =>
          Buffer.concat([bytes.subarray(0, from), put, bytes.subarray(from + cut)]),
        Buffer.from(seed),
      ),
    );
  const strange = fc.uint8Array({ maxLength: 2048 }).map((bytes) => Buffer.from(bytes));
  return fc.oneof({ weight: 9, arbitrary: edited }, { weight: 1, arbitrary: strange });
}

describe('damaged bytes are read or refused, and nothing else, as', () => {
  it.each(Object.entries(targets))(
    '%s',
    async (_name, { seed, parse, share = 1 }) => {
      await fc.assert(
        fc.asyncProperty(damaged(seed), async (bytes) => {
          try {
            await parse(bytes);
          } catch (error) {
            if (!isRefusal(error)) throw error;
            expect(error.message).not.toMatch(/[\u0000-\u0008\u000b-\u001f]/);
          }
        }),
        { numRuns: Math.ceil(numRuns / share) },
      );
      expect(Object.prototype).not.toHaveProperty('polluted');
    },
    600_000,
  );
});
