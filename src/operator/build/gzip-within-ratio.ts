import { Transform } from 'node:stream';
import { promisify } from 'node:util';
import { constants, crc32, deflateRaw } from 'node:zlib';

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
 * Compresses with gzip so that a reader that refuses more than `maxRatio` bytes of output per input
 * byte accepts the result, however small the pieces in which it reads it. Deflate reaches 1032:1 on
 * zeros. A piece that would pass half of `maxRatio` so far is therefore compressed without
 * references, which yields at least an eighth of its size.
 *
 * The pieces are compressed separately, each with the end of the one before as its dictionary. The
 * result is one gzip member. The same bytes give the same result with the same version of zlib.
 *
 * A write completes when its bytes are copied, so the writer may reuse its buffer.
 */
export function gzipWithinRatio(maxRatio: number): Transform {
  const packer = new Packer(maxRatio);
  let piece = Buffer.allocUnsafeSlow(PIECE);
  let filled = 0;
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      take(chunk).then(() => done(), done);
    },
    flush(done) {
      packer.end(piece.subarray(0, filled)).then((end) => done(null, end), done);
    },
  });
  const take = async (chunk: Buffer): Promise<void> => {
    for (let at = 0; at < chunk.length;) {
      const length = chunk.copy(piece, filled, at);
      filled += length;
      at += length;
      if (filled < PIECE) continue;
      stream.push(await packer.pack(piece));
      piece = Buffer.allocUnsafeSlow(PIECE);
      filled = 0;
    }
  };
  stream.push(header);
  return stream;
}

class Packer {
  readonly #maxRatio: number;
  #sum = 0;
  #inputBytes = 0;
  #outputBytes = header.length;
  #dictionary: Buffer | undefined;

  constructor(maxRatio: number) {
    this.#maxRatio = maxRatio;
  }

  /** Holds the piece until the next one. */
  async pack(piece: Buffer): Promise<Buffer> {
    this.#sum = crc32(piece, this.#sum);
    this.#inputBytes += piece.length;
    const flush = { finishFlush: constants.Z_SYNC_FLUSH };
    const dictionary = this.#dictionary === undefined ? {} : { dictionary: this.#dictionary };
    let packed = await deflate(piece, { ...flush, ...dictionary });
    if (this.#inputBytes > ((this.#outputBytes + packed.length) * this.#maxRatio) / 2) {
      packed = await deflate(piece, { ...flush, strategy: constants.Z_HUFFMAN_ONLY });
    }
    this.#outputBytes += packed.length;
    this.#dictionary = piece.subarray(-WINDOW);
    return packed;
  }

  /** The last piece, which may be empty, and the end of the member. */
  async end(piece: Buffer): Promise<Buffer> {
    const last = piece.length === 0 ? [] : [await this.pack(piece)];
    const trailer = Buffer.alloc(8);
    trailer.writeUInt32LE(this.#sum, 0);
    trailer.writeUInt32LE(this.#inputBytes % 2 ** 32, 4);
    return Buffer.concat([...last, await deflate(Buffer.alloc(0)), trailer]);
  }
}
