import { BLOCK, encodeHeaders, type FramedEntry, padding, type TarEntry } from '../tar/index.ts';
import type { TarChunk } from './walk-archive.ts';

/** Characters that the written ustar headers may have; others go into a PAX header. */
const plainText = /^[\x20-\x7e]*$/;

/**
 * Turns the chunks of an archive into those of its canonical tar without a copy of the bodies: each
 * header is replaced in place, and headers of another size are inserted between the parts of the
 * chunk. The bytes are those that `TarWriter` would write.
 */
export class CanonicalRewrite {
  #bytes: Buffer = Buffer.alloc(0);
  #offset = 0;
  #out: Buffer[] = [];
  /** The part of the chunk that is kept unchanged and not yet in the output. */
  #from = 0;
  #to = 0;
  /** Bytes of the body that are still to come. */
  #remaining = 0;
  #padding = 0;

  /**
   * Begins a chunk.
   * @param bytes - is changed
   */
  begin(bytes: Buffer, { offset }: Pick<TarChunk, 'offset'>): void {
    this.#bytes = bytes;
    this.#offset = offset;
    this.#from = this.#to = 0;
  }

  /** Ends the chunk and returns what the canonical tar has in its place. */
  end(): readonly Buffer[] {
    this.#flush();
    const out = this.#out;
    this.#out = [];
    return out;
  }

  /** Replaces the entry that was read by `entry`; `framed.sizeBytes` of body follow. */
  entry(framed: FramedEntry, entry: TarEntry): void {
    this.#remaining = entry.sizeBytes;
    this.#padding = padding(entry.sizeBytes);
    const start = framed.bodyOffset - framed.headerBytes - this.#offset;
    const isInChunk = start >= 0 && framed.headerBytes === BLOCK;
    if (isInChunk && isCanonical(framed, entry)) {
      this.#keep(start, start + BLOCK);
      return;
    }
    const headers = encodeHeaders(entry);
    if (isInChunk && headers.length === BLOCK) {
      headers.copy(this.#bytes, start);
      this.#keep(start, start + BLOCK);
    } else {
      this.insert(headers);
    }
  }

  /** The next part of the body is between these offsets in the chunk. */
  body(start: number, end: number): void {
    this.#keep(start, end);
    this.#remaining -= end - start;
    if (this.#remaining > 0 || this.#padding === 0) return;
    if (end + this.#padding <= this.#bytes.length) {
      this.#bytes.fill(0, end, end + this.#padding); // the archive may have anything there
      this.#keep(end, end + this.#padding);
    } else {
      this.insert(Buffer.alloc(this.#padding));
    }
  }

  /** Inserts bytes that are not in the chunk. */
  insert(bytes: Buffer): void {
    this.#flush();
    this.#out.push(bytes);
  }

  #keep(start: number, end: number): void {
    if (start !== this.#to) {
      this.#flush();
      this.#from = start;
    }
    this.#to = end;
  }

  #flush(): void {
    if (this.#to > this.#from) this.#out.push(this.#bytes.subarray(this.#from, this.#to));
    this.#from = this.#to;
  }
}

/**
 * Whether the header that was read equals the one to write. A plain header is what the writer would
 * write for its values.
 */
function isCanonical(framed: FramedEntry, entry: TarEntry): boolean {
  return (
    framed.isPlain &&
    framed.name === (entry.type === 'directory' ? `${entry.path}/` : entry.path) &&
    framed.linkname === entry.target &&
    framed.mode === entry.mode &&
    framed.uid === entry.uid &&
    framed.gid === entry.gid &&
    plainText.test(framed.name) &&
    plainText.test(framed.linkname)
  );
}
