import { type ImageId, parseImageId } from '../../../image/appc/index.ts';
import { integer, list, map, oneOf, parsed, text } from '../../../core/cbor/index.ts';
import { hexDigits, jobFiles } from '../index.ts';
import type { RenderingStep } from './rendering.ts';

/**
 * What wherryd passes to the rendering unit in `<partial>/<job>/job.cbor`. The unit's other inputs
 * are the mounted objects of the images.
 */
export interface RenderJob {
  readonly steps: readonly RenderingStep[];
  readonly impliesDirectories: readonly ImageId[];
  readonly limits: {
    /** The limit for one image. */
    readonly maxTarBytes: number;
    /** The limit for all images together. */
    readonly maxEntries: number;
  };
  readonly compression: 'none' | 'lz4';
}

/** What the unit returns in `result.cbor`, beside `object.erofs`. */
export interface Rendered {
  readonly ok: true;
  readonly objectSizeBytes: number;
  /** SHA-256 of the object file, lower-case hex. */
  readonly objectSha256: string;
}

const imageId = parsed(text(135), parseImageId);

export const renderFiles = jobFiles<RenderJob, Rendered>({
  what: 'rendering',
  job: map({
    steps: list(map({ image: imageId, above: list(imageId, { max: 16 }) }), { min: 1, max: 128 }),
    impliesDirectories: list(imageId, { max: 128 }),
    limits: map({ maxTarBytes: integer(1), maxEntries: integer(1) }),
    compression: oneOf('none', 'lz4'),
  }),
  done: map({ ok: oneOf(true), objectSizeBytes: integer(1), objectSha256: hexDigits(64) }),
  /** The largest job: 128 steps with 15 IDs above each. */
  maxBytes: 512 * 1024,
});
