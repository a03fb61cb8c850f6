import { type ImageId, parseImageId } from '../../../image/appc/index.ts';
import {
  encodeCbor,
  integer,
  list,
  map,
  oneOf,
  parsed,
  type Reader,
  text,
} from '../../../core/cbor/index.ts';
import type { RenderingStep } from './rendering.ts';
import { decodeUnitFile, encodeResult, hexDigits, type RefusedResult, resultOf } from '../index.ts';

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
  | RefusedResult;

/** The largest job: 128 steps with 15 IDs above each. */
export const maxRenderFileBytes = 512 * 1024;

const imageId = parsed(text(135), parseImageId);
const renderJob: Reader<RenderJob> = map({
  steps: list(map({ image: imageId, above: list(imageId, { max: 16 }) }), { min: 1, max: 128 }),
  impliesDirectories: list(imageId, { max: 128 }),
  limits: map({ maxTarBytes: integer(1), maxEntries: integer(1) }),
  compression: oneOf('none', 'lz4'),
});

const renderResult: Reader<RenderResult> = resultOf(
  map({ ok: oneOf(true), objectSizeBytes: integer(1), objectSha256: hexDigits(64) }),
);

export function encodeRenderJob(job: RenderJob): Uint8Array {
  return encodeCbor(job);
}

/** @throws Refusal `internal`: a job that cannot be read is wherry's own mistake */
export function decodeRenderJob(file: Uint8Array): RenderJob {
  return decodeUnitFile(file, renderJob, 'rendering job', maxRenderFileBytes);
}

export function encodeRenderResult(result: RenderResult): Uint8Array {
  return encodeResult(result);
}

/** @throws Refusal `internal`; the unit that wrote it is not trusted, so nothing of it is used then */
export function decodeRenderResult(file: Uint8Array): RenderResult {
  return decodeUnitFile(file, renderResult, 'result of a rendering', maxRenderFileBytes);
}
