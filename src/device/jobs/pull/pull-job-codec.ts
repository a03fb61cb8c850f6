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
  type Reader,
  text,
} from '../../../core/cbor/index.ts';
import { decodeFile, hexDigits, jobFiles } from '../index.ts';
import type { Pulled, PullJob, PullProgress } from './pull-job.ts';

/**
 * The largest job and the largest result: a few kilobytes of addresses, the keys of a device twice,
 * a manifest.
 */
const maxBytes = 3 * 1024 * 1024;
export const maxProgressBytes = 1024;

const acIdentifier = parsed(text(512), parseAcIdentifier);

export const pullFiles = jobFiles<PullJob, Pulled>({
  what: 'pull',
  job: map({
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
  }),
  done: map({
    ok: oneOf(true),
    imageId: parsed(text(135), parseImageId),
    manifest: bytes(maxBytes),
    impliesDirectories: optional(oneOf(true)),
    objectSizeBytes: integer(1),
    objectSha256: hexDigits(64),
    objectVerity: optional(text(135)),
    downloadedBytes: integer(0),
    signedBy: text(512),
  }),
  maxBytes,
});

const pullProgress: Reader<PullProgress> = map({ receivedBytes: integer(0), totalBytes: integer(0) });

export function encodePullProgress(progress: PullProgress): Uint8Array {
  return encodeCbor(progress);
}

/** @throws Refusal `internal` */
export function decodePullProgress(file: Uint8Array): PullProgress {
  return decodeFile(file, pullProgress, 'pull progress', maxProgressBytes);
}
