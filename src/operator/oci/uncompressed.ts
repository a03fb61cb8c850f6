import { compressionOf, readHead, replay, undone } from '../../image/aci/index.ts';
import { type ArchiveLimits, BLOCK, checksum } from '../../image/tar/index.ts';
import { Refusal } from '../../core/refusal/index.ts';

/**
 * A tar without its compression, which is detected from the first bytes, regardless of media type
 * and file name. A tar needs no mark: its checksum proves a header, and a tar without entries has
 * none.
 *
 * Throws refusals while it is iterated: `archive-too-large` for more than `maxTarBytes`,
 * `archive-malformed` and `archive-compression-unsupported` for other bytes, and those of
 * `decompressByTool`.
 */
export async function* uncompressed(
  source: AsyncIterable<Uint8Array>,
  { maxTarBytes, decoderMemoryMiB }: Pick<ArchiveLimits, 'maxTarBytes' | 'decoderMemoryMiB'>,
): AsyncGenerator<Buffer, void> {
  const input = source[Symbol.asyncIterator]();
  try {
    const head = await readHead(input, BLOCK);
    const bytes = replay(head, input);
    const found = isTarHeader(head) ? 'none' : isSkippable(head) ? 'zstd' : compressionOf(head);
    if (found === undefined && head.some((byte) => byte !== 0)) throw unknownBytes(head);
    let sizeBytes = 0;
    for await (const chunk of await undone(found ?? 'none', bytes, decoderMemoryMiB)) {
      sizeBytes += chunk.length;
      if (sizeBytes > maxTarBytes) throw tooLarge(maxTarBytes);
      yield chunk;
    }
  } finally {
    await input.return?.();
  }
}

/** First bytes of unsupported formats, from file(1). */
const otherMagics: readonly (readonly [name: string, hex: string])[] = [
  ['lz4', '04224d18'],
  ['lzip', '4c5a4950'],
  ['lzma', '5d0000'],
  ['lzop', '894c5a4f'],
  ['compress', '1f9d'],
  ['zip', '504b0304'],
  ['7-zip', '377abcaf271c'],
];

/** A message about the checksum of a tar header would mislead. */
function unknownBytes(head: Buffer): Refusal {
  const [name] = otherMagics.find(([, hex]) => head.toString('hex').startsWith(hex)) ?? [];
  const supported = 'gzip, bzip2, xz and zstd are supported';
  return name === undefined
    ? new Refusal('archive-malformed', `it is neither a tar nor compressed in a known way; ${supported}`)
    : new Refusal('archive-compression-unsupported', `it is compressed with ${name}; ${supported}`);
}

/** The refusal of an image that unpacks to more than is allowed. */
export function tooLarge(maxBytes: number): Refusal {
  return new Refusal(
    'archive-too-large',
    `it unpacks to more than ${maxBytes} bytes; allow more with --max-unpacked`,
  );
}

/**
 * A file name in a tar may begin like a compressed file, such as "BZh" of bzip2. The checksum of a
 * whole header decides.
 */
function isTarHeader(head: Buffer): boolean {
  if (head.length < BLOCK) return false;
  const said = /^ *([0-7]+)[ \0]*$/.exec(head.toString('latin1', 148, 156))?.[1];
  return said !== undefined && parseInt(said, 8) === checksum(head.subarray(0, BLOCK));
}

/** Zstandard allows skippable frames before its own (RFC 8878 §3.1.2): 0x184D2A50 to 0x184D2A5F. */
function isSkippable(head: Buffer): boolean {
  return head.length >= 4 && (head.readUInt32LE(0) & 0xfffffff0) === 0x184d2a50;
}
