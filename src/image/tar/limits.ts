import { Refusal } from '../../core/refusal/index.ts';

/**
 * Limits for an archive. A signature proves who made an archive, not that it is harmless, and the
 * limits also hold for bytes that are read before the signature is verified.
 */
export interface ArchiveLimits {
  /**
   * Bytes of the uncompressed tar, headers, padding and everything after the end marker included.
   */
  readonly maxTarBytes: number;
  /** Entries, and directories that entries imply without naming them. */
  readonly maxEntries: number;
  /** Uncompressed bytes per compressed byte, checked after the first MiB of output. */
  readonly maxRatio: number;
  /** UTF-8 bytes of one path, and of one link target. */
  readonly maxPathBytes: number;
  readonly maxManifestBytes: number;
  /** Bytes of one PAX extended header: this much is held in memory. */
  readonly maxPaxBytes: number;
  /** Extended attributes of one entry that are kept. */
  readonly maxXattrs: number;
  /** Bytes of one extended attribute's value. */
  readonly maxXattrBytes: number;
  /** Memory of the program that decompresses xz or zstd. */
  readonly decoderMemoryMiB: number;
}

const MiB = 1024 * 1024;

/** Limits that fit a device with 512 MB of memory; callers spread them and override single ones. */
export const defaultArchiveLimits: ArchiveLimits = {
  maxTarBytes: 2048 * MiB,
  maxEntries: 100_000,
  maxRatio: 200,
  maxPathBytes: 4096,
  maxManifestBytes: MiB,
  maxPaxBytes: 64 * 1024,
  maxXattrs: 32,
  maxXattrBytes: 16 * 1024,
  // Enough for what `xz -7` (16 MiB) and `zstd -19` (8 MiB) write; fits into the memory that a pull
  // may use.
  decoderMemoryMiB: 20,
};

/**
 * A name from an archive for a message: quoted, shortened, without characters that control a
 * terminal or forge a line of the journal.
 */
export function quoted(name: string): string {
  const short = name.length > 160 ? `${name.slice(0, 120)}…${name.slice(-30)}` : name;
  return JSON.stringify(short).replace(
    /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** The archive is damaged: shorthand for the commonest refusal of this folder. */
export function malformed(message: string, cause?: unknown): Refusal {
  return new Refusal('archive-malformed', message, cause === undefined ? {} : { cause });
}
