import { type ImageId, parseImageId } from '../appc/index.ts';
import {
  CborError,
  decodeCbor,
  encodeCbor,
  integer,
  list,
  map,
  oneOf,
  parsed,
  type Reader,
  readFields,
  text,
} from '../cbor/index.ts';
import type { RenderingStep } from '../deploy/index.ts';
import { Refusal } from '../refusal/index.ts';

/**
 * What wherryd hands to the rendering unit, and what comes back: `<partial>/<job>/job.cbor` in, `result.cbor` and `object.erofs`
 * out, as with a pull. The unit's other input are the mounted objects of the images.
 */
export interface RenderJob {
  readonly steps: readonly RenderingStep[];
  readonly impliesDirectories: readonly ImageId[];
  readonly limits: {
    /** Of one image. */
    readonly maxTarBytes: number;
    /** Of all images together. */
    readonly maxEntries: number;
  };
  readonly compression: 'none' | 'lz4';
}

export type RenderResult =
  | {
      readonly ok: true;
      readonly objectSizeBytes: number;
      /** SHA-256 of the object file, lower-case hex. */
      readonly objectSha256: string;
    }
  | { readonly ok: false; readonly code: string; readonly message: string };

/** The largest job: 128 steps with 15 IDs above each. */
export const maxRenderFileBytes = 512 * 1024;

const imageId = parsed(text(135), parseImageId);
const sha256 = parsed(text(64), (value) => {
  if (!/^[0-9a-f]{64}$/.test(value)) throw new CborError('not 64 hex digits');
  return value;
});

const renderJob: Reader<RenderJob> = map({
  steps: list(map({ image: imageId, above: list(imageId, { max: 16 }) }), { min: 1, max: 128 }),
  impliesDirectories: list(imageId, { max: 128 }),
  limits: map({ maxTarBytes: integer(1), maxEntries: integer(1) }),
  compression: oneOf('none', 'lz4'),
});

const success = map({ ok: oneOf(true), objectSizeBytes: integer(1), objectSha256: sha256 });
const refusal = map({ ok: oneOf(false), code: text(64), message: text(4096) });
const renderResult: Reader<RenderResult> = (value, path) => {
  const failed = value !== null && typeof value === 'object' && 'ok' in value && value.ok === false;
  return failed ? refusal(value, path) : success(value, path);
};

export function encodeRenderJob(job: RenderJob): Uint8Array {
  return encodeCbor(job);
}

/** @throws Refusal `internal`: a job that cannot be read is wherry's own mistake */
export function decodeRenderJob(file: Uint8Array): RenderJob {
  return decode(file, renderJob, 'rendering job');
}

/** A message that is too long for a report is cut. */
export function encodeRenderResult(result: RenderResult): Uint8Array {
  return encodeCbor(result.ok ? result : { ...result, message: result.message.slice(0, 1000) });
}

/** @throws Refusal `internal`; the unit that wrote it is not trusted, so nothing of it is used then */
export function decodeRenderResult(file: Uint8Array): RenderResult {
  return decode(file, renderResult, 'result of a rendering');
}

function decode<T>(file: Uint8Array, reader: Reader<T>, what: string): T {
  try {
    return readFields(decodeCbor(file, { maxBytes: maxRenderFileBytes, maxDepth: 5 }), reader, what);
  } catch (cause) {
    if (!(cause instanceof CborError)) throw cause;
    throw new Refusal('internal', `the ${what} cannot be read: ${cause.message}`, { cause });
  }
}
