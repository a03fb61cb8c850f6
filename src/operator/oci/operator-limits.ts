import { type ArchiveLimits, defaultArchiveLimits } from '../../image/tar/index.ts';

const GiB = 1024 * 1024 * 1024;

/** What an image may unpack to when nothing else is said. */
export const defaultUnpackedBytes = 8 * GiB;

/**
 * Limits of an operator's machine for images that somebody else wrote. They bound bytes, because an
 * operator cannot change how such an image is compressed. What is written of it is judged by the
 * limits of devices.
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
    // The largest window of zstd is 2 GiB (--long=31, and its program takes no more), the largest
    // dictionary of xz 1.5 GiB.
    decoderMemoryMiB: 2048,
  };
}
