import { Refusal } from '../../core/refusal/index.ts';

/** The sizes of an image or a tree to render, from which its space is computed. */
export interface ImageSize {
  readonly id: string;
  /** The .aci file; 0 for what is not downloaded. */
  readonly sizeBytes: number;
  /** The uncompressed tar. */
  readonly tarSizeBytes: number;
}

export interface SpaceNeed {
  /** The space of the objects, which stay. */
  readonly objectBytes: number;
  /**
   * The additional space while the largest object is made: its download and the builder's scratch
   * space.
   */
  readonly pullBytes: number;
}

const slackBytes = 1024 * 1024;

/**
 * How much space the images that are not in `have` need at most, pulled one after the other.
 *
 * An uncompressed object has its files at block boundaries: a tar of many small files grows, by 6 %
 * for Debian's documentation, and a seal's tree of hashes takes a 127th of it; an eighth covers
 * both. With lz4 the object is smaller, but the builder keeps the uncompressed files in a temporary
 * file until it is done.
 */
export function spaceNeeded(
  images: readonly ImageSize[],
  have: ReadonlySet<string>,
  compression: 'none' | 'lz4',
): SpaceNeed {
  let objectBytes = 0;
  let pullBytes = 0;
  for (const image of images) {
    if (have.has(image.id)) continue;
    objectBytes += image.tarSizeBytes + Math.ceil(image.tarSizeBytes / 8) + slackBytes;
    const scratchBytes = compression === 'lz4' ? image.tarSizeBytes : 0;
    pullBytes = Math.max(pullBytes, image.sizeBytes + scratchBytes);
  }
  return { objectBytes, pullBytes };
}

/**
 * Decides, before the first byte is downloaded, whether there is room.
 *
 * @param freeBytes the free space of the file system
 * @param reserveBytes what must stay free for everything else on the device
 * @throws Refusal `no-space`
 */
export function admitSpace(need: SpaceNeed, freeBytes: number, reserveBytes: number): void {
  const neededBytes = need.objectBytes + need.pullBytes;
  const usableBytes = Math.max(0, freeBytes - reserveBytes);
  if (neededBytes <= usableBytes) return;
  throw new Refusal(
    'no-space',
    `the images need up to ${mebibytes(neededBytes)} (${mebibytes(need.objectBytes)} to stay, ` +
      `${mebibytes(need.pullBytes)} while they are pulled), but only ${mebibytes(usableBytes)} are free ` +
      `above the reserve of ${mebibytes(reserveBytes)}`,
  );
}

function mebibytes(bytes: number): string {
  return `${(bytes / (1024 * 1024)).toFixed(1)} MiB`;
}
