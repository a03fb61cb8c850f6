import { execFileSync } from 'node:child_process';
import * as openpgp from 'openpgp';
import { defaultArchiveLimits } from '../../src/image/tar/limits.ts';
import { readArchive } from '../../src/image/aci/read-archive.ts';
import { parsePax } from '../../src/image/tar/pax.ts';
import { parseAcName, parseImageId } from '../../src/image/appc/identifiers.ts';
import { parseImageManifest } from '../../src/image/appc/image-manifest.ts';
import { parseNameString } from '../../src/image/appc/name-string.ts';
import { parsePodManifest } from '../../src/image/appc/pod-manifest.ts';
import { parseQuantity } from '../../src/image/appc/quantity.ts';
import { examineFiles } from '../../src/device/jobs/examine/examine-files.ts';
import { renderFiles } from '../../src/device/jobs/render/render-job.ts';
import { emptyState } from '../../src/device/deploy/state.ts';
import { decodeState, encodeState } from '../../src/device/deploy/state-codec.ts';
import { readMetaTags } from '../../src/operator/discovery/meta-tags.ts';
import { parseCredentials } from '../../src/wire/http/credentials-file.ts';
import { pullFiles } from '../../src/device/jobs/pull/pull-job-codec.ts';
import { judgeResponse, strongValidator } from '../../src/wire/http/response-range.ts';
import { parseConfig, parseDocument, parseSavedImages } from '../../src/operator/oci/documents.ts';
import { appcArchitecture } from '../../src/operator/oci/platform.ts';
import { runtimeOf } from '../../src/operator/oci/runtime.ts';
import { decodePresence, encodeEvent, encodePresence, encodeReport } from '../../src/wire/report/index.ts';
import { decodeEvent, decodeReport } from '../../src/wire/report/report-codec.ts';
import { readPublish } from '../../src/wire/mqtt/read-publish.ts';
import { PacketGate } from '../../src/wire/mqtt/packet-gate.ts';
import { ConnectionLost } from '../../src/wire/mqtt/transport.ts';
import { readSuperblock, superblockBytes } from '../../src/device/store/erofs-superblock.ts';
import {
  decodeDesiredState,
  type VerifiedPayload,
  decodeEnvelope,
  decodeRoot,
  encodeDesiredState,
  encodeEnvelope,
  encodeRoot,
} from '../../src/wire/trust/index.ts';
import {
  decodeConfidential,
  decodeMessage,
  encodeConfidential,
  encodeEncrypted,
} from '../../src/wire/trust/confidential.ts';
import { examineRoot, reviewKeys, signatureVerifier } from '../../src/wire/trust/openpgp.ts';
import { generateKey, signDetached } from '../../src/wire/trust/sign.ts';
import { treeIdOf } from '../device/deploy/ids.ts';
import { file, manifest, pax, plain, raw, rootfs, source, tar } from '../support/raw-tar.ts';
import { sampleEvent, sampleReport } from '../support/sample-messages.ts';
import { readPlainHeaderTwice } from './both-readings.ts';
import { exchangeTargets } from './exchange-targets.ts';
import type { Target } from './target.ts';

const key = await generateKey({ name: 'fuzz' });
const { publicKey: revocable, revocationCertificate } = await openpgp.generateKey({
  userIDs: [{ name: 'fuzz' }],
});
const signature = await signDetached(Buffer.from('data'), key.privateKey, Math.floor(Date.now() / 1000) + 1);
const id = parseImageId(`sha512-${'0'.repeat(128)}`);
const time = { nowSeconds: 1_800_000_000, clockTrusted: true };
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
      id,
      name: 'example.com/a' as never,
      labels: [],
      sizeBytes: 1,
      tarSizeBytes: 1,
      urls: ['https://a.example/x'],
    },
  ],
  policy: { probationSeconds: 1, reconnectWindowSeconds: 1, limits: 'require' },
});
const root = encodeRoot({
  format: 1,
  fleet: 'f' as never,
  version: 1,
  issued: 1,
  expires: 2,
  keys: { [key.fingerprint]: key.publicKey },
  roles: {
    root: { keys: [key.fingerprint], threshold: 1 },
    deploy: { keys: [key.fingerprint], threshold: 1 },
    'images/example.com': { keys: [key.fingerprint], threshold: 1 },
  },
});
const rootSignature = await signDetached(root, key.privateKey, Math.floor(Date.now() / 1000) + 1);
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

export const targets: Readonly<Record<string, Target>> = {
  'an image manifest': { seed: image, parse: parseImageManifest },
  'a pod manifest': { seed: pod, parse: parsePodManifest },
  'a quantity': { seed: Buffer.from('128.5Mi'), parse: text(parseQuantity) },
  'a name with labels': {
    seed: Buffer.from('example.com/app:1.0,channel=alpha'),
    parse: text((name) => parseNameString(name)),
  },
  'a desired state': {
    seed: desired,
    parse: (payload: Uint8Array) => decodeDesiredState(payload as VerifiedPayload),
  },
  'a root of trust': {
    seed: root,
    parse: (payload: Uint8Array) => {
      const { roles } = decodeRoot(payload as VerifiedPayload);
      return Object.keys(roles);
    },
  },
  'a signed root of trust': {
    seed: encodeEnvelope({ payload: root, signatures: [rootSignature] }),
    parse: (message) => examineRoot(message, { fleet: 'f', time }),
    share: 3,
  },
  'an envelope': {
    seed: encodeEnvelope({ payload: desired, signatures: [signature] }),
    parse: decodeEnvelope,
  },
  'a message, encrypted or not': {
    seed: encodeEncrypted(new Uint8Array(8)),
    parse: decodeMessage,
  },
  'what an encrypted message holds': {
    seed: encodeConfidential({
      payload: desired,
      signatures: [signature],
      secrets: [{ name: parseAcName('db'), salt: new Uint8Array(32), value: new Uint8Array(8) }],
    }),
    parse: decodeConfidential,
  },
  'a report': { seed: encodeReport(sampleReport()), parse: decodeReport },
  'an event': { seed: encodeEvent(sampleEvent()), parse: decodeEvent },
  'a presence': {
    seed: encodePresence({ format: 1, bootId: 'a', connection: 1, up: true }),
    parse: decodePresence,
  },
  'an OpenPGP signature': {
    seed: Buffer.from(signature),
    parse: text((armored) => signatureVerifier(armored, [key.publicKey], time)),
    share: 3,
  },
  'an OpenPGP key': {
    seed: Buffer.from(key.publicKey),
    parse: text((armored) => reviewKeys(armored, { nowSeconds: 1_800_000_000, clockTrusted: false })),
    share: 3,
  },
  'a copy of an OpenPGP key': {
    seed: Buffer.from(key.publicKey),
    parse: text((armored) => reviewKeys(key.publicKey, time, [armored])),
    share: 3,
  },
  'an OpenPGP revocation certificate': {
    seed: Buffer.from(revocationCertificate),
    parse: text((armored) => reviewKeys(revocable, time, [armored])),
    share: 3,
  },
  'an archive': { seed: archive, parse: readTar },
  'a gzip archive': { seed: compressed('gzip'), parse: readTar },
  'a bzip2 archive': { seed: compressed('bzip2'), parse: readTar, share: 20 },
  'an xz archive': { seed: compressed('xz'), parse: readTar, share: 20 },
  'a zstd archive': { seed: compressed('zstd'), parse: readTar, share: 20 },
  'a plain header of a tar': {
    seed: raw(plain({ name: 'rootfs/link', type: '2', linkname: '../lib/x', mode: 0o4755, uid: 1000 })),
    parse: readPlainHeaderTwice,
  },
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
      runtimeOf(config, { passwd: '', group: '' });
      return appcArchitecture('x', config.platform);
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
  'PAX records': {
    seed: Buffer.from('30 mtime=1700000000.123456789\n25 SCHILY.xattr.user.a=b\n12 path=a/b\n'),
    parse: (bytes) => parsePax(bytes, limits),
  },
  'the packets of a broker': {
    seed: Buffer.concat([
      Buffer.from([0x20, 2, 0, 0, 0x32, 7, 0, 3]),
      Buffer.from('t/a\x12\x34'),
      Buffer.from([0x32, 130, 1, 0, 1, 0x74, 1, 2]),
      Buffer.alloc(125, 0x61),
      Buffer.from([0x31, 7, 0, 3, 0x74, 0x2f, 0x61, 0, 0x62]),
    ]),
    parse: (bytes) => {
      const half = bytes.length >> 1;
      const gate = new PacketGate(64, {
        pass: () => undefined,
        reply: () => undefined,
        dropped: () => undefined,
        unanswered: (body) => [4 as const, 5 as const].forEach((version) => readPublish(body, version)),
      });
      gate.push(bytes.subarray(0, half));
      gate.push(bytes.subarray(half));
    },
    refusesWith: ConnectionLost,
  },
  'the head of an HTTP answer': {
    seed: Buffer.from(
      '206\nbytes 100-199/200\n"etag"\nTue, 01 Jan 2030 00:00:00 GMT\nTue, 01 Jan 2030 00:00:10 GMT',
    ),
    parse: text((head) => {
      const [status, range, etag, modified, date] = head.split('\n');
      const headers = {
        'content-range': range,
        'content-length': range,
        etag,
        'last-modified': modified,
        date,
      };
      strongValidator(headers);
      judgeResponse('a', Number(status), headers, { offset: 100, expectedBytes: 200 });
    }),
  },
  'the superblock of an object': { seed: superblock(), parse: readSuperblock },
  'the state of a device': {
    seed: encodeState({
      ...emptyState,
      current: { version: 1, pods: [], imageIds: [id], treeIds: [treeIdOf('0')] },
      trees: [{ id: treeIdOf('0'), name: 'example.com/a', sizeBytes: 1, sha256: '0', imageIds: [id] }],
    }),
    parse: decodeState,
  },
  'a pull job': {
    seed: pullFiles.encodeJob({
      image: {
        id,
        name: 'example.com/a' as never,
        labels: [{ name: 'version' as never, value: '1' }],
        sizeBytes: 1,
        tarSizeBytes: 1,
        urls: ['https://a.example/x'],
      },
      keys: ['key'],
      architectures: ['aarch64'],
      limits: { maxTarBytes: 1, maxEntries: 1, maxRatio: 1, minBytesPerSecond: 0, maxBytesPerSecond: 0 },
      compression: 'none',
      time: { nowSeconds: 1, clockTrusted: true },
    }),
    parse: pullFiles.decodeJob,
  },
  'the result of a pull': {
    seed: pullFiles.encodeResult({
      ok: true,
      imageId: id,
      manifest: image,
      objectSizeBytes: 4096,
      objectSha256: '0'.repeat(64),
      downloadedBytes: 1,
      signedBy: 'a',
    }),
    parse: pullFiles.decodeResult,
  },
  'a request for an examination': {
    seed: examineFiles.encodeJob({
      message: Buffer.from('message'),
      context: {
        keys: ['key'],
        fleet: 'f',
        device: 'd',
        trusted: { version: 1, payloadSha256: '0'.repeat(64), issued: 1 },
        time,
      },
    }),
    parse: examineFiles.decodeJob,
  },
  'the verdict of an examination': {
    seed: examineFiles.encodeResult({ ok: true, outcome: 'new', payload: desired, signedBy: ['a'] }),
    parse: examineFiles.decodeResult,
  },
  'a rendering job': {
    seed: renderFiles.encodeJob({
      steps: [
        { image: id, above: [id] },
        { image: id, above: [] },
      ],
      impliesDirectories: [id],
      limits: { maxTarBytes: 1, maxEntries: 1 },
      compression: 'none',
    }),
    parse: renderFiles.decodeJob,
  },
  'the result of a rendering': {
    seed: renderFiles.encodeResult({ ok: true, objectSizeBytes: 4096, objectSha256: '0'.repeat(64) }),
    parse: renderFiles.decodeResult,
  },
  ...exchangeTargets,
};

/** The part of an EROFS superblock that `readSuperblock` reads. */
function superblock(): Buffer {
  const bytes = Buffer.alloc(superblockBytes);
  bytes.writeUInt32LE(0xe0f5e1e2, 0);
  bytes.writeUInt8(12, 12);
  bytes.writeUInt32LE(3, 36);
  return bytes;
}
