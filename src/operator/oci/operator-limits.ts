import { type ArchiveLimits, defaultArchiveLimits } from '../../image/tar/index.ts';

const GiB = 1024 * 1024 * 1024;

/** The default limit for the unpacked size of an image, in bytes. */
export const defaultUnpackedBytes = 8 * GiB;

/**
 * Limits of an operator's machine for images of others. They bound bytes and not the ratio, because
 * an operator cannot change how such an image is compressed. The limits of devices apply to the
 * image that is written.
 * @param maxUnpackedBytes of one layer, and of the files of all layers together
 */
export function operatorLimits(maxUnpackedBytes: number): ArchiveLimits {
  return {
    ...defaultArchiveLimits,
    maxTarBytes: maxUnpackedBytes,
    // Memory grows with entries: 1,048,576 by default.
    maxEntries: Math.max(defaultArchiveLimits.maxEntries, Math.floor(maxUnpackedBytes / 8192)),
    maxRatio: Infinity,
    maxPaxBytes: 1024 * 1024,
    // The largest window of zstd is 2 GiB (--long=31, and its program accepts no more), the largest
    // dictionary of xz 1.5 GiB.
    decoderMemoryMiB: 2048,
  };
}
