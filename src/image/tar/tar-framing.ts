import { Refusal } from '../../core/refusal/index.ts';
import { type ArchiveLimits, malformed, quoted } from './limits.ts';
import { checkPaxGlobal, noSparse, parsePax, type PaxOverrides, type Xattr } from './pax.ts';
import { BLOCK, decodeBlock, isExtension, type TarBlock, utf8 } from './tar-block.ts';
import { isWrittenAlike } from './ustar-block.ts';

export type EntryType = 'file' | 'link' | 'symlink' | 'directory' | 'fifo';

/**
 * One entry of the archive with its PAX and GNU extensions applied; the path is not checked yet.
 */
export interface FramedEntry {
  readonly type: EntryType;
  readonly name: string;
  readonly linkname: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  readonly sizeBytes: number;
  readonly xattrs: readonly Xattr[];
  readonly dropped: readonly string[];
  /** Where the body begins in the tar. */
  readonly bodyOffset: number;
  /**
   * Bytes from the end of the previous entry to the body: one header, and the extensions before it.
   */
  readonly headerBytes: number;
  /**
   * The header is, byte for byte, the one block that `TarWriter` would write for these values; no
   * extension precedes it.
   */
  readonly isPlain: boolean;
}

const entryTypes = new Map<string, EntryType>([
  ['0', 'file'],
  ['7', 'file'], // contiguous file: POSIX says to treat it as a regular one
  ['1', 'link'],
  ['2', 'symlink'],
  ['5', 'directory'],
  ['6', 'fifo'],
]);

/** As `TarWriter` writes them. */
export const typeFlags: Readonly<Record<EntryType, string>> = {
  file: '0',
  link: '1',
  symlink: '2',
  directory: '5',
  fifo: '6',
};

const refusedTypes = new Map<string, string>([
  ['3', 'a character device'],
  ['4', 'a block device'],
  ['S', 'a sparse file in the old GNU form'],
  ['M', 'a continuation from another volume'],
  ['V', 'a volume label'],
  ['D', 'a GNU directory dump'],
  ['N', 'an old GNU long name'],
]);

/** Advice for the author of an archive, for the types that common tools write. */
const remedies = new Map<string, string>([
  ['3', 'the device makes the devices of an app, so leave it out of the image'],
  ['4', 'an app gets no block devices, so leave it out of the image'],
  ['S', noSparse],
]);

const zeros = Buffer.alloc(64 * 1024);
const maxId = 0xffff_fffe; // chown treats (uid_t)-1 as "no change"
const maxMtime = 8 ** 11 - 1;

/** The parts of a tar in order: an entry, or bytes of the body of the previous entry. */
export type TarPiece = FramedEntry | Buffer;

interface Extension {
  readonly flag: string;
  readonly body: Buffer;
  filled: number;
}

/**
 * The input of the second reading: the complete entries whose headers are not plain, one after the
 * other.
 */
export interface Doubtful {
  readonly bytes: readonly Buffer[];
  /** In order, with the offset of their bodies within all doubtful bytes so far. */
  readonly entries: readonly { readonly entry: FramedEntry; readonly bodyOffset: number }[];
}

/**
 * The frame of a tar: where headers, bodies and the end are, and the values of each header, read
 * strictly. It runs in front of the tar library, which is lenient (docs/decisions/tar-walk.md); the
 * walk then compares both readings. It keeps one block and one extension header, no other bytes.
 */
export class TarFraming {
  readonly #limits: ArchiveLimits;
  #pieces: TarPiece[] = [];
  readonly #partial = Buffer.alloc(BLOCK);
  #partialFilled = 0;
  #offset = 0;
  /** Remaining bytes of a body, and of the padding behind it. */
  #body = 0;
  #padding = 0;
  #zeroBlocks = 0;
  #extension: Extension | undefined;
  #pax: PaxOverrides | undefined;
  #longName: string | undefined;
  #longLink: string | undefined;
  /** Where the previous entry ends. */
  #entryEnd = 0;
  /** The current header, or the entry of the current body, is not plain. */
  #isDoubtful = false;
  #doubtfulBytes: Buffer[] = [];
  #doubtfulEntries: { entry: FramedEntry; bodyOffset: number }[] = [];
  #doubtfulSize = 0;

  constructor(limits: ArchiveLimits) {
    this.#limits = limits;
  }

  /** The pieces since the last call; bodies are parts of the chunks that were pushed. */
  take(): TarPiece[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  /** The input of the second reading since the last call. */
  takeDoubtful(): Doubtful {
    const doubtful = { bytes: this.#doubtfulBytes, entries: this.#doubtfulEntries };
    if (doubtful.bytes.length > 0) [this.#doubtfulBytes, this.#doubtfulEntries] = [[], []];
    return doubtful;
  }

  /**
   * Reads the next chunk. Returns how many bytes of `chunk` are before the end of the end marker:
   * only zeros may follow it, and a tar parser ignores them.
   */
  push(chunk: Buffer): number {
    let at = 0;
    while (at < chunk.length) {
      if (this.#zeroBlocks === 2) {
        requireZeros(chunk.subarray(at));
        return at;
      }
      if (this.#extension) {
        at += this.#fillExtension(this.#extension, chunk, at);
      } else if (this.#body > 0) {
        const length = Math.min(this.#body, chunk.length - at);
        const bytes = chunk.subarray(at, at + length);
        this.#pieces.push(bytes);
        this.#doubt(bytes);
        this.#body -= length;
        this.#offset += length;
        at += length;
      } else if (this.#padding > 0) {
        const length = Math.min(this.#padding, chunk.length - at);
        this.#doubt(chunk.subarray(at, at + length));
        this.#padding -= length;
        this.#offset += length;
        at += length;
      } else {
        at += this.#fillBlock(chunk, at);
      }
    }
    return at;
  }

  /** Whether the end marker was read. */
  get hasEnded(): boolean {
    return this.#zeroBlocks === 2;
  }

  /** Call when the tar has ended. */
  end(): void {
    if (!this.hasEnded) {
      throw malformed(`the archive ends at byte ${this.#offset} without an end marker: it was cut off`);
    }
  }

  #fillBlock(chunk: Buffer, at: number): number {
    if (this.#partialFilled === 0 && chunk.length - at >= BLOCK) {
      this.#header(chunk.subarray(at, at + BLOCK));
      return BLOCK;
    }
    const length = Math.min(BLOCK - this.#partialFilled, chunk.length - at);
    chunk.copy(this.#partial, this.#partialFilled, at, at + length);
    this.#partialFilled += length;
    if (this.#partialFilled === BLOCK) {
      this.#partialFilled = 0;
      this.#header(Buffer.from(this.#partial)); // the second reading may keep it
    }
    return length;
  }

  #header(block: Buffer): void {
    const offset = this.#offset;
    this.#offset += BLOCK;
    if (block[0] === 0 && block.equals(zeros.subarray(0, BLOCK))) {
      if (this.#isExtended()) throw malformed(`the archive ends at byte ${offset} after an extension header`);
      this.#zeroBlocks++;
      return;
    }
    if (this.#zeroBlocks > 0) throw malformed(`data follows a block of zeros at byte ${offset}`);
    const header = decodeBlock(block, offset, {
      name: this.#pax?.path !== undefined || this.#longName !== undefined,
      linkname: this.#pax?.linkpath !== undefined || this.#longLink !== undefined,
    });
    if (isExtension(header.flag)) {
      this.#isDoubtful = true;
      this.#doubt(block);
      this.#beginExtension(header);
    } else {
      this.#entry(header, block);
    }
  }

  /** Contiguous bytes are kept as one piece. */
  #doubt(bytes: Buffer): void {
    if (!this.#isDoubtful) return;
    this.#doubtfulSize += bytes.length;
    const last = this.#doubtfulBytes.at(-1);
    if (last?.buffer === bytes.buffer && last.byteOffset + last.length === bytes.byteOffset) {
      const joined = Buffer.from(last.buffer, last.byteOffset, last.length + bytes.length);
      this.#doubtfulBytes[this.#doubtfulBytes.length - 1] = joined;
    } else {
      this.#doubtfulBytes.push(bytes);
    }
  }

  #isExtended(): boolean {
    return this.#pax !== undefined || this.#longName !== undefined || this.#longLink !== undefined;
  }

  #beginExtension(header: TarBlock): void {
    const isPax = header.flag === 'x' || header.flag === 'g';
    const limit = isPax ? this.#limits.maxPaxBytes : this.#limits.maxPathBytes + 1;
    if (header.sizeBytes > limit) {
      throw new Refusal(
        'archive-too-large',
        `the archive has ${isPax ? 'a PAX header' : 'a long name'} of ${header.sizeBytes} bytes; the limit is ${limit}`,
      );
    }
    this.#extension = { flag: header.flag, body: Buffer.alloc(header.sizeBytes), filled: 0 };
    if (header.sizeBytes === 0) this.#endExtension(this.#extension);
  }

  #fillExtension(extension: Extension, chunk: Buffer, at: number): number {
    const length = Math.min(extension.body.length - extension.filled, chunk.length - at);
    chunk.copy(extension.body, extension.filled, at, at + length);
    this.#doubt(chunk.subarray(at, at + length));
    extension.filled += length;
    this.#offset += length;
    if (extension.filled === extension.body.length) this.#endExtension(extension);
    return length;
  }

  #endExtension({ flag, body }: Extension): void {
    this.#extension = undefined;
    this.#padding = padding(body.length);
    if (flag === 'g') {
      checkPaxGlobal(body);
      return;
    }
    const known = { x: this.#pax, L: this.#longName, K: this.#longLink }[flag];
    if (known !== undefined) throw malformed(`an entry has two extension headers of type ${quoted(flag)}`);
    if (flag === 'x') this.#pax = parsePax(body, this.#limits);
    else if (flag === 'L') this.#longName = longName(body);
    else this.#longLink = longName(body);
  }

  #entry(header: TarBlock, block: Buffer): void {
    const pax = this.#pax;
    if (
      (pax?.path !== undefined && this.#longName !== undefined) ||
      (pax?.linkpath !== undefined && this.#longLink)
    ) {
      throw malformed(`the entry ${quoted(pax.path ?? header.name)} is named by both a PAX and a GNU header`);
    }
    const name = pax?.path ?? this.#longName ?? header.name;
    const linkname = pax?.linkpath ?? this.#longLink ?? header.linkname;
    const sizeBytes = pax?.sizeBytes ?? header.sizeBytes;
    const uid = pax?.uid ?? header.uid;
    const gid = pax?.gid ?? header.gid;
    const type = entryTypes.get(header.flag);
    if (type === undefined) {
      const what = refusedTypes.get(header.flag) ?? `of the unknown type ${quoted(header.flag)}`;
      throw new Refusal(
        'archive-entry-unsupported',
        `the entry ${quoted(name)} is ${what}; ${remedies.get(header.flag) ?? 'that is not accepted'}`,
      );
    }
    if (type !== 'file' && sizeBytes !== 0) {
      // Some readers skip such a body and some do not: the same bytes would have two meanings.
      throw malformed(`the entry ${quoted(name)} is a ${type} and has a body`);
    }
    if (uid > maxId || gid > maxId) throw malformed(`the entry ${quoted(name)} has an owner past 2^32-2`);
    if (this.#offset + sizeBytes > this.#limits.maxTarBytes) {
      throw new Refusal(
        'archive-too-large',
        `the entry ${quoted(name)} of ${sizeBytes} bytes passes the archive's limit of ${this.#limits.maxTarBytes}`,
      );
    }
    const fields = {
      name,
      linkname: type === 'link' || type === 'symlink' ? linkname : '',
      mode: header.mode,
      uid,
      gid,
      mtime: Math.min(Math.max(pax?.mtime ?? header.mtime, 0), maxMtime),
      sizeBytes,
    };
    const headerBytes = this.#offset - this.#entryEnd;
    const isPlain =
      headerBytes === BLOCK && isWrittenAlike(block, header, { ...fields, flag: typeFlags[type] });
    this.#isDoubtful = !isPlain;
    this.#doubt(block);
    const entry: FramedEntry = {
      type,
      ...fields,
      xattrs: pax?.xattrs ?? [],
      dropped: pax?.dropped ?? [],
      bodyOffset: this.#offset,
      headerBytes,
      isPlain,
    };
    this.#pieces.push(entry);
    if (this.#isDoubtful) this.#doubtfulEntries.push({ entry, bodyOffset: this.#doubtfulSize });
    this.#body = sizeBytes;
    this.#padding = padding(sizeBytes);
    this.#entryEnd = this.#offset + sizeBytes + this.#padding;
    this.#pax = this.#longName = this.#longLink = undefined;
  }
}

/** Bytes from `sizeBytes` to the next block. */
export function padding(sizeBytes: number): number {
  return (BLOCK - (sizeBytes % BLOCK)) % BLOCK;
}

function longName(body: Buffer): string {
  const name = utf8(body);
  const used = Buffer.byteLength(name);
  if (name === '' || !body.subarray(used).equals(zeros.subarray(0, body.length - used))) {
    throw malformed('a GNU long name is empty or continues after its end');
  }
  return name;
}

function requireZeros(bytes: Buffer): void {
  for (let at = 0; at < bytes.length; at += zeros.length) {
    const part = bytes.subarray(at, at + zeros.length);
    if (!part.equals(zeros.subarray(0, part.length))) {
      throw malformed("data other than zeros follows the archive's end marker");
    }
  }
}
