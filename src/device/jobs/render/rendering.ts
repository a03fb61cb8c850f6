import { createHash } from 'node:crypto';
import type { ImageId } from '../../../image/appc/index.ts';
import type { TreeId } from '../../store/index.ts';

/**
 * A tree that a device must render from several images, because an overlay of their objects would
 * differ from it. Its ID depends on its inputs alone, so that the next deployment that needs the
 * same tree finds it.
 */
export interface Rendering {
  readonly id: TreeId;
  /** Name of the image that is rendered. */
  readonly name: string;
  readonly steps: readonly RenderingStep[];
  /** The images of the steps, each once; the last is the one that is rendered. */
  readonly imageIds: readonly ImageId[];
  /** Those of them whose archive lacks entries for directories. */
  readonly impliesDirectories: readonly ImageId[];
  /** Nothing is downloaded for it. */
  readonly sizeBytes: 0;
  /** The most that it can have as an uncompressed tar: the sum over its images. */
  readonly tarSizeBytes: number;
}

/** See `renderSteps`. */
export interface RenderingStep {
  readonly image: ImageId;
  readonly above: readonly ImageId[];
}

/** Incremented when the same images give another object than before. */
const formatVersion = 1;

/**
 * The ID of a tree. An image ID covers the manifest, and so the path whitelist. What remains is the
 * order and the dependency path of each image.
 */
export function renderingId(steps: readonly RenderingStep[]): TreeId {
  const lines = steps.map(({ image, above }) => [...above, image].join('/'));
  const text = [`wherry rendering ${formatVersion}`, ...lines].join('\n');
  return `rendered-${createHash('sha256').update(text).digest('hex')}`;
}
