import { constants, crc32, deflateRaw } from 'node:zlib';
import { promisify } from 'node:util';

const deflate = promisify(deflateRaw);

/** Bytes that are compressed at a time. */
const PIECE = 256 * 1024;

/** How far back deflate refers (RFC 1951 §2). */
const WINDOW = 32 * 1024;

/**
 * RFC 1952 §2.3.1: deflate, no flags, no time, and "unknown" as the operating system, so that the
 * file is the same everywhere.
 */
const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);

/**
 * Compresses with gzip so that a reader that refuses more than `maxRatio` bytes for each byte that
 * it was given takes the result, however small the pieces are in which it gets it. Deflate reaches
 * 1032:1 on zeros. A piece that would pass half of `maxRatio` so far is therefore compressed
 * without references, which yields at least an eighth of its size.
 *
 * The pieces are compressed apart, each with the end of the one before as its dictionary. The
 * result is one gzip member, and the same for the same bytes with the same version of zlib.
 */
export async function* gzipWithinRatio(
  source: AsyncIterable<unknown>,
  maxRatio: number,
): AsyncGenerator<Buffer, void> {
  yield header;
  let sum = 0;
  let inputBytes = 0;
  let outputBytes = header.length;
  let dictionary: Buffer | undefined;
  for await (const piece of inPieces(source)) {
    sum = crc32(piece, sum);
    inputBytes += piece.length;
    const flush = { finishFlush: constants.Z_SYNC_FLUSH };
    let packed = await deflate(piece, { ...flush, ...(dictionary === undefined ? {} : { dictionary }) });
    if (inputBytes > ((outputBytes + packed.length) * maxRatio) / 2) {
      packed = await deflate(piece, { ...flush, strategy: constants.Z_HUFFMAN_ONLY });
    }
    outputBytes += packed.length;
    dictionary = piece.subarray(-WINDOW);
    yield packed;
  }
  yield await deflate(Buffer.alloc(0));
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(sum, 0);
  trailer.writeUInt32LE(inputBytes % 2 ** 32, 4);
  yield trailer;
}

async function* inPieces(source: AsyncIterable<unknown>): AsyncGenerator<Buffer, void> {
  let piece = Buffer.allocUnsafeSlow(PIECE);
  let filled = 0;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    for (let at = 0; at < chunk.length;) {
      const length = chunk.copy(piece, filled, at);
      filled += length;
      at += length;
      if (filled < PIECE) continue;
      yield piece;
      piece = Buffer.allocUnsafeSlow(PIECE);
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}
