import { parseAcIdentifier, parseImageId } from '../../../image/appc/index.ts';
import {
  boolean,
  bytes,
  encodeCbor,
  integer,
  list,
  map,
  oneOf,
  optional,
  parsed,
  text,
  type Reader,
} from '../../../core/cbor/index.ts';
import type { PullJob, PullProgress, PullResult } from './pull-job.ts';
import { decodeUnitFile, encodeResult, hexDigits, resultOf } from '../index.ts';

/** The largest job and the largest result: a few kilobytes of addresses, the keys of a device twice, a manifest. */
export const maxPullFileBytes = 3 * 1024 * 1024;

const acIdentifier = parsed(text(512), parseAcIdentifier);
const pullJob: Reader<PullJob> = map({
  image: map({
    id: parsed(text(135), parseImageId),
    name: acIdentifier,
    labels: list(map({ name: acIdentifier, value: text(4096) }), { max: 64 }),
    sizeBytes: integer(1),
    tarSizeBytes: integer(1),
    renderedBytes: optional(integer(1)),
    urls: list(text(2048), { min: 1, max: 16 }),
  }),
  keys: list(text(256 * 1024), { max: 64 }),
  threshold: optional(integer(1, 64)),
  copies: optional(list(text(256 * 1024), { max: 64 })),
  architectures: list(text(64), { min: 1, max: 16 }),
  limits: map({
    maxTarBytes: integer(1),
    maxEntries: integer(1),
    maxRatio: integer(1),
    minBytesPerSecond: integer(0),
    maxBytesPerSecond: integer(0),
  }),
  compression: oneOf('none', 'lz4'),
  time: map({ nowSeconds: integer(0), clockTrusted: boolean }),
  seals: optional(oneOf(true)),
  proxy: optional(map({ url: text(2048), noProxy: list(text(256), { max: 64 }) })),
});

const success = map({
  ok: oneOf(true),
  imageId: parsed(text(135), parseImageId),
  manifest: bytes(maxPullFileBytes),
  impliesDirectories: optional(oneOf(true)),
  objectSizeBytes: integer(1),
  objectSha256: hexDigits(64),
  objectVerity: optional(text(135)),
  downloadedBytes: integer(0),
  signedBy: text(512),
});
const pullResult: Reader<PullResult> = resultOf(success);

const pullProgress: Reader<PullProgress> = map({ receivedBytes: integer(0), totalBytes: integer(0) });

export function encodePullJob(job: PullJob): Uint8Array {
  return encodeCbor(job);
}

/** @throws Refusal `internal`: a job that cannot be read is wherry's own mistake */
export function decodePullJob(file: Uint8Array): PullJob {
  return decodeUnitFile(file, pullJob, 'pull job', maxPullFileBytes);
}

export function encodePullResult(result: PullResult): Uint8Array {
  return encodeResult(result);
}

/** @throws Refusal `internal`; the unit that wrote it is not trusted, so nothing of it is used then */
export function decodePullResult(file: Uint8Array): PullResult {
  return decodeUnitFile(file, pullResult, 'pull result', maxPullFileBytes);
}

export function encodePullProgress(progress: PullProgress): Uint8Array {
  return encodeCbor(progress);
}

/** @throws Refusal `internal` */
export function decodePullProgress(file: Uint8Array): PullProgress {
  return decodeUnitFile(file, pullProgress, 'pull progress', maxPullFileBytes);
}
