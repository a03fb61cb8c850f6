import { METHODS } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { resolveAccount } from '../../src/image/appc/account.ts';
import { examineFiles } from '../../src/device/jobs/examine/examine-files.ts';
import { decodePullProgress, encodePullProgress } from '../../src/device/jobs/pull/pull-job-codec.ts';
import { lockIn } from '../../src/device/host/hold-files.ts';
import {
  askedApproval,
  askedCommand,
  askedLock,
  askedLog,
  bodyOf,
} from '../../src/device/local-api/read-request.ts';
import { journalCommand } from '../../src/device/local-api/app-logs.ts';
import { routeOf } from '../../src/device/local-api/requests.ts';
import { answerMetadata } from '../../src/device/metadata/answer.ts';
import { metadataUrl } from '../../src/device/metadata/token.ts';
import { readElfHeader } from '../../src/device/world/elf.ts';
import { walkPlainTar } from '../../src/image/aci/index.ts';
import { parseImageManifest } from '../../src/image/appc/image-manifest.ts';
import { defaultArchiveLimits } from '../../src/image/tar/limits.ts';
import { readDraft, writeDraft } from '../../src/operator/fleet/root-drafts.ts';
import { challengesOf } from '../../src/operator/oci/challenges.ts';
import { plainTar } from '../../src/operator/oci/plain-tar.ts';
import { decodeBundle, encodeBundle } from '../../src/wire/enrolment/index.ts';
import {
  decodeLogAnswer,
  decodeTelemetry,
  encodeLogAnswer,
  encodeTelemetry,
  parseDeviceTopic,
  parseGroupTopic,
} from '../../src/wire/report/index.ts';
import { encodeLogRequest, encodeRoot, type VerifiedPayload } from '../../src/wire/trust/index.ts';
import { decodeLogRequest } from '../../src/wire/trust/log-request.ts';
import { examineLogRequest } from '../../src/wire/trust/openpgp.ts';
import { logRequest, publishRequest } from '../support/log-requests.ts';
import { issued, makeKey } from '../support/operator.ts';
import { file, pax, source, tar } from '../support/raw-tar.ts';
import type { Target } from './target.ts';

const key = await makeKey('fuzz');
const signedRequest = await publishRequest(logRequest, key);
const logContext = {
  ...{ keys: [key.publicKey], fleet: 'farm', device: 'pump-1', boot: 'boot-a' },
  time: { nowSeconds: issued + 1, clockTrusted: true },
};
const digest = '0'.repeat(64);
const app = parseImageManifest(
  Buffer.from(
    JSON.stringify({
      ...{ acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/a' },
      app: { exec: ['/bin/a'], user: 'web', group: 'www-data' },
    }),
  ),
);
const metadataKey = Buffer.alloc(64, 7);
const podUuid = '6ba7b810-9dad-51d1-80b4-00c04fd430c8';
const podUrl = new URL(metadataUrl(metadataKey, podUuid));
const limits = { ...defaultArchiveLimits, maxTarBytes: 1 << 20 };
const text = (read: (text: string) => unknown) => (bytes: Buffer) => read(bytes.toString('latin1'));

/** Decoders of other input from outside: messages, files, requests, contents of images. */
export const exchangeTargets: Readonly<Record<string, Target>> = {
  'a request for logs': {
    seed: encodeLogRequest({
      ...logRequest,
      ...{ app: logRequest.pod, since: issued - 60, lines: 100, follow: true },
    }),
    parse: (payload: Uint8Array) => decodeLogRequest(payload as VerifiedPayload),
  },
  'a signed request for logs': {
    seed: signedRequest,
    parse: (message) => examineLogRequest(message, logContext),
    share: 3,
  },
  'a request for logs to examine': {
    seed: examineFiles.encodeJob({ message: signedRequest, logContext }),
    parse: examineFiles.decodeJob,
  },
  'a part of a log': {
    seed: encodeLogAnswer({ format: 1, request: digest, seq: 0, text: Buffer.from('started') }),
    parse: decodeLogAnswer,
  },
  'the end of a log': {
    seed: encodeLogAnswer({
      ...{ format: 1, request: digest, seq: 1, end: 'refused', sentBytes: 0, leftOutBytes: 0 },
      ...{ code: 'not-found', message: 'there is no pod web' },
    }),
    parse: decodeLogAnswer,
  },
  telemetry: {
    seed: encodeTelemetry({
      ...{ format: 1, at: issued, device: { uptimeSeconds: 1, clockTrusted: true, load100: 5 } },
      apps: [{ pod: 'p', app: 'a', restarts: 0, oomKills: 0, memoryBytes: 1 }],
    }),
    parse: decodeTelemetry,
  },
  'the topic of a message': {
    seed: Buffer.from('v1/farm/d/pump-1/log'),
    parse: text((topic) => parseDeviceTopic(topic) ?? parseGroupTopic(topic)),
  },
  'a root of trust that is being signed': {
    seed: writeDraft({
      payload: encodeRoot({
        ...{ format: 1, fleet: logRequest.fleet, version: 1, issued, expires: issued + 60 },
        keys: { [key.fingerprint]: key.publicKey },
        roles: {
          root: { keys: [key.fingerprint], threshold: 1 },
          deploy: { keys: [key.fingerprint], threshold: 1 },
        },
      }),
      signatures: [],
    }),
    parse: readDraft,
  },
  'an enrolment bundle': {
    seed: encodeBundle({
      ...{ fleet: 'farm', device: 'pump-1' },
      files: new Map([
        ['/etc/wherry/device.key', Buffer.from('key')],
        ['/etc/wherry/wherry.toml', Buffer.from('[broker]\n')],
      ]),
    }),
    parse: decodeBundle,
  },
  'the progress of a pull': {
    seed: encodePullProgress({ receivedBytes: 1, totalBytes: 2 }),
    parse: decodePullProgress,
  },
  'the account files of an image': {
    seed: Buffer.from('web:x:1000:1000::/:/bin/sh\n\0www-data:x:33:\n'),
    parse: text((files) => {
      const [passwd = '', group = ''] = files.split('\0');
      return resolveAccount('app a:', app.app ?? unexpected(), { passwd, group, owners: new Map() });
    }),
  },
  'the header of a program': { seed: elfProgram(), parse: readElfHeader },
  'a request for metadata': {
    seed: Buffer.from(`POST\n${podUrl.pathname}/acMetadata/v1/pod/hmac/sign\ncontent=a`),
    parse: text((request) => {
      const [method = '', target = '', form] = request.split('\n');
      return answerMetadata(
        { method, target, form: () => Promise.resolve(new URLSearchParams(form)) },
        {
          key: metadataKey,
          pod: () => Promise.resolve({ manifest: '{}', annotations: [], apps: {} }),
          imageManifest: () => Promise.resolve(undefined),
        },
      );
    }),
  },
  'a lock file': {
    seed: Buffer.from('{"reason": "the harvester runs", "expires": 1800000000}'),
    parse: (bytes) => {
      const lock = lockIn(bytes);
      if (lock === undefined) return;
      if (lock.reason.length > 200 || /\p{C}/u.test(lock.reason) || !Number.isSafeInteger(lock.expires))
        throw new Error(`a lock that cannot be shown: ${JSON.stringify(lock)}`);
    },
  },
  'a request of the local API': {
    seed: Buffer.from(
      'PUT\n/v1/locks/harvest?arg=a&arg=%00&group=g&lines=1&follow=true&since=-1h\n{"reason":"r","seconds":60,"keep":true}',
    ),
    parse: (bytes) => {
      const [verb = '', target = '', ...body] = bytes.toString('latin1').split('\n');
      const [path = '', query] = target.split('?');
      // Node's parser accepts only these.
      const method = METHODS.includes(verb) ? verb : 'PUT';
      const { names } = routeOf(method, path);
      const parameters = new URLSearchParams(query);
      const readers: Readonly<Record<string, () => unknown>> = {
        locks: () => addedLock(bodyOf(Buffer.from(body.join('\n'), 'latin1'))),
        approvals: () => askedApproval(parameters, names[0] ?? ''),
        pods: () =>
          method === 'POST' ? askedCommand(parameters) : journalCommand(askedLog(parameters, names[0] ?? '')),
      };
      const words = readers[path.split('/')[2] ?? '']?.();
      if (Array.isArray(words) && words.some((word) => String(word).includes('\0')))
        throw new Error('a word of a command line has a NUL');
    },
  },
  'the challenges of a registry': {
    seed: Buffer.from('Bearer realm="https://a.example/token", service="a\\"b", Basic realm=x'),
    parse: text(challengesOf),
  },
  'a layer of an OCI image': {
    seed: tar(
      pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '600' }),
      file('a', `1\n512\n4\n${'\0'.repeat(504)}body`),
      file('etc/.wh.passwd', ''),
    ),
    parse: (bytes) =>
      walkPlainTar(plainTar(source(bytes), { limits, onDevice: () => undefined }), limits, {
        needsEndMarker: false,
        inputBytes: () => bytes.length,
        onTar: () => undefined,
        visit: async (_entry, body) => {
          await buffer(body);
        },
      }),
  },
};

/** The lock file made from a request must be readable as a lock. */
function addedLock(body: unknown): void {
  const { reason, expires } = askedLock(body, issued);
  if (lockIn(Buffer.from(JSON.stringify({ reason, expires })))?.expires !== expires)
    throw new Error(`the lock of this request cannot be read: ${JSON.stringify(body)}`);
}

/** A 64-bit little-endian AArch64 program with one program header, which names its interpreter. */
function elfProgram(): Buffer {
  const bytes = Buffer.alloc(160);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  bytes.writeUInt16LE(3, 16);
  bytes.writeUInt16LE(183, 18);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(1, 56);
  bytes.writeUInt32LE(3, 64);
  bytes.writeBigUInt64LE(120n, 72);
  bytes.writeBigUInt64LE(16n, 96);
  bytes.write('/lib/ld-linux.so\0'.slice(-16), 120, 'latin1');
  return bytes;
}

function unexpected(): never {
  throw new Error('the manifest has an app');
}
