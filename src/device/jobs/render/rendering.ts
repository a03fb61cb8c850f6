import { createHash } from 'node:crypto';
import type { ImageId } from '../../../image/appc/index.ts';
import type { TreeId } from '../../store/index.ts';

/**
 * A tree that a device has to make of several images, because their objects laid over each other
 * would be another one. It is named by what it is made of, so that the next deployment that needs
 * the same finds it.
 */
export interface Rendering {
  readonly id: TreeId;
  /** Name of the image that is rendered. */
  readonly name: string;
  readonly steps: readonly RenderingStep[];
  /** The images of the steps, each once; the last is the one that is rendered. */
  readonly imageIds: readonly ImageId[];
  /** Those of them whose archive leaves out entries of directories. */
  readonly impliesDirectories: readonly ImageId[];
  /** Nothing is downloaded for it. */
  readonly sizeBytes: 0;
  /** No more than this, as an uncompressed tar: the sum over its images. */
  readonly tarSizeBytes: number;
}

/** See `renderSteps`. */
export interface RenderingStep {
  readonly image: ImageId;
  readonly above: readonly ImageId[];
}

/** Counted up when the same images give another object than before. */
const formatVersion = 1;

/**
 * The name of a tree. An image ID covers the manifest, and so the path whitelist: order and the way
 * to each image say the rest.
 */
export function renderingId(steps: readonly RenderingStep[]): TreeId {
  const lines = steps.map(({ image, above }) => [...above, image].join('/'));
  const text = [`wherry rendering ${formatVersion}`, ...lines].join('\n');
  return `rendered-${createHash('sha256').update(text).digest('hex')}`;
}
