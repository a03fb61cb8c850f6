import { createHash } from 'node:crypto';

import { type ImageId, parseImageId } from '../appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { ArchiveTree } from './archive-tree.ts';
import { type Compression, decompress } from './decompress.ts';
import { entryPath, hardLinkTarget, symlinkTarget } from './entry-path.ts';
import {
  type ArchiveLimits,
  malformed,
  SecondReading,
  BLOCK,
  type FramedEntry,
  padding,
  TarFraming,
  type TarPiece,
  type TarEntry,
} from '../tar/index.ts';

/** An entry that passed every check. */
export interface ArchiveEntry extends TarEntry {
  /** Directories above that no entry has named so far, outermost first. */
  readonly implied: readonly string[];
  /** Extended attributes that were left out. */
  readonly dropped: readonly string[];
}

export interface Walked {
  /** The digest of the uncompressed tar, including bytes after the end marker (aci.md#image-id). */
  readonly imageId: ImageId;
  readonly compression: Compression;
  readonly tarSizeBytes: number;
  /** Entries, those included that others only imply. */
  readonly entries: number;
}

/**
 * Called for each entry in the archive's order. Bytes of `body` that it does not read are skipped.
 */
export type Visit<Entry> = (entry: Entry, body: AsyncIterable<Buffer>) => Promise<void>;

const ratioAppliesFrom = 1024 * 1024;

/** What makes a tar an image: paths, links, places, `manifest` and `rootfs`; and its ID. */
export class ImageCheck {
  readonly #limits: ArchiveLimits;
  readonly #tree: ArchiveTree;
  readonly #hash = createHash('sha512');

  constructor(limits: ArchiveLimits) {
    this.#limits = limits;
    this.#tree = new ArchiveTree(limits);
  }

  /** Takes the next bytes of the uncompressed tar. */
  update(chunk: Buffer): void {
    this.#hash.update(chunk);
  }

  /** Checks the next entry; undefined for the archive's own root, which has no effect. */
  entry(framed: FramedEntry): ArchiveEntry | undefined {
    return checkEntry(framed, this.#tree, this.#limits);
  }

  /** Call when the tar has ended. @throws Refusal `image-manifest-missing`, `archive-malformed` */
  end(): Pick<Walked, 'imageId' | 'entries'> {
    if (!this.#tree.has('manifest')) {
      throw new Refusal('image-manifest-missing', 'the archive has no manifest');
    }
    if (!this.#tree.has('rootfs')) throw malformed('the archive has no "rootfs" directory');
    return { imageId: parseImageId(`sha512-${this.#hash.digest('hex')}`), entries: this.#tree.size };
  }
}

/**
 * Reads an image archive from the first to the last byte, as `walkTar` does, and checks what makes
 * a tar an image.
 *
 * Throws refusals with `archive-*` and `image-manifest-*` codes; what `source` throws passes
 * unchanged.
 */
export async function walkArchive(
  source: AsyncIterable<Uint8Array>,
  limits: ArchiveLimits,
  visit: Visit<ArchiveEntry>,
): Promise<Walked> {
  const check = new ImageCheck(limits);
  const walked = await walkTar(source, limits, {
    onTar: (chunk) => check.update(chunk),
    visit: async (framed, body) => {
      const checked = check.entry(framed);
      if (checked) await visit(checked, body);
    },
  });
  return { ...walked, ...check.end() };
}

/** What a tar is read with. */
export interface TarReading {
  /** Called with every byte of the uncompressed tar, including those after the end marker. */
  readonly onTar: (chunk: Buffer) => void;
  /**
   * False if a digest proves that the tar is complete: some tools omit the end marker, and the
   * padding before it.
   */
  readonly needsEndMarker?: boolean;
}

/** For a tar that is not compressed. */
export interface PlainReading extends TarReading {
  /** Compressed bytes so far, for the ratio. */
  readonly inputBytes: () => number;
}

/** A piece of the uncompressed tar in which both readings agree. */
export interface TarChunk {
  readonly bytes: Buffer;
  /** Where it begins in the tar. */
  readonly offset: number;
  /** The entries whose headers end in it, and the parts of bodies in it. */
  readonly pieces: readonly TarPiece[];
}

/**
 * Reads a tar in constant memory: decompresses it, reads its frame (TarFraming), and refuses it
 * where `tar-stream` reads it differently. Bytes are checked as they arrive, so a decompression
 * bomb ends at its limit.
 *
 * Throws refusals with `archive-*` codes; what `source` throws passes unchanged.
 */
export async function* tarChunks(
  source: AsyncIterable<Uint8Array>,
  limits: ArchiveLimits,
  reading: TarReading,
): AsyncGenerator<TarChunk & { readonly compression: Compression }, void> {
  let inputBytes = 0;
  const { compression, tar } = await decompress(
    source,
    limits.decoderMemoryMiB,
    (sizeBytes) => (inputBytes += sizeBytes),
  );
  const plain = { ...reading, inputBytes: () => inputBytes };
  for await (const chunk of plainChunks(tar, limits, plain)) yield { ...chunk, compression };
}

/** As `tarChunks`, of a tar without compression. */
async function* plainChunks(
  tar: AsyncIterable<Buffer>,
  limits: ArchiveLimits,
  { onTar, needsEndMarker = true, inputBytes }: PlainReading,
): AsyncGenerator<TarChunk, void> {
  let offset = 0;
  const framing = new TarFraming(limits);
  const library = new SecondReading();
  try {
    for await (const bytes of tar) {
      checkSize(offset + bytes.length, inputBytes(), limits);
      onTar(bytes);
      framing.push(bytes);
      const doubtful = framing.takeDoubtful();
      if (doubtful.bytes.length > 0) await library.agree(doubtful);
      yield { bytes, offset, pieces: framing.take() };
      offset += bytes.length;
    }
    if (!needsEndMarker && !framing.hasEnded) {
      framing.push(Buffer.alloc(padding(offset) + 2 * BLOCK));
      if (framing.take().length > 0) throw malformed('the archive ends within a file: it was cut off');
      await library.agree(framing.takeDoubtful());
    }
    framing.end();
    await library.end();
  } finally {
    library.close();
  }
}

/** Reads a tar as `tarChunks` does, entry by entry. */
export async function walkTar(
  source: AsyncIterable<Uint8Array>,
  limits: ArchiveLimits,
  { visit, ...reading }: TarReading & { readonly visit: Visit<FramedEntry> },
): Promise<Pick<Walked, 'compression' | 'tarSizeBytes'>> {
  let compression: Compression = 'none';
  const chunks = (async function* (): AsyncGenerator<TarChunk, void> {
    for await (const chunk of tarChunks(source, limits, reading)) {
      compression = chunk.compression;
      yield chunk;
    }
  })();
  const tarSizeBytes = await visitEntries(chunks, visit);
  return { compression, tarSizeBytes };
}

/** As `walkTar`, of a tar without compression. Returns its size in bytes. */
export async function walkPlainTar(
  tar: AsyncIterable<Buffer>,
  limits: ArchiveLimits,
  { visit, ...reading }: PlainReading & { readonly visit: Visit<FramedEntry> },
): Promise<number> {
  return await visitEntries(plainChunks(tar, limits, reading), visit);
}

async function visitEntries(chunks: AsyncIterable<TarChunk>, visit: Visit<FramedEntry>): Promise<number> {
  let tarSizeBytes = 0;
  const pieces = (async function* (): AsyncGenerator<TarPiece, undefined> {
    for await (const chunk of chunks) {
      tarSizeBytes = chunk.offset + chunk.bytes.length;
      yield* chunk.pieces;
    }
  })();
  for await (const piece of pieces) {
    if (!Buffer.isBuffer(piece)) await visit(piece, bodyOf(piece, pieces));
  }
  return tarSizeBytes;
}

/** The bytes that follow an entry. */
async function* bodyOf(
  { sizeBytes }: FramedEntry,
  pieces: AsyncIterator<TarPiece, undefined>,
): AsyncGenerator<Buffer, void> {
  for (let left = sizeBytes; left > 0;) {
    const { value } = await pieces.next();
    if (!Buffer.isBuffer(value)) throw new Error('the body of an entry was read after its visit');
    left -= value.length;
    yield value;
  }
}

function checkSize(tarBytes: number, inputBytes: number, limits: ArchiveLimits): void {
  if (tarBytes > limits.maxTarBytes) {
    throw new Refusal('archive-too-large', `the archive unpacks to more than ${limits.maxTarBytes} bytes`);
  }
  if (tarBytes > ratioAppliesFrom && tarBytes > inputBytes * limits.maxRatio) {
    throw new Refusal(
      'archive-too-large',
      `the archive unpacks to more than ${limits.maxRatio} times its size: ${tarBytes} bytes from ${inputBytes}`,
    );
  }
}

/** Checks path, links and place; undefined for the archive's own root, which has no effect. */
export function checkEntry(
  framed: FramedEntry,
  tree: ArchiveTree,
  limits: ArchiveLimits,
): ArchiveEntry | undefined {
  const { type, name, linkname } = framed;
  const path = entryPath(name, type === 'directory', limits);
  if (path === '.') return undefined;
  const required = { manifest: 'file', rootfs: 'directory' }[path];
  if (required !== undefined && type !== required) {
    throw new Refusal(
      'archive-entry-unsupported',
      `the entry "${path}" is a ${type}; it must be a ${required}`,
    );
  }
  let target = '';
  if (type === 'link') target = hardLinkTarget(name, linkname, limits);
  if (type === 'symlink') target = symlinkTarget(name, linkname, limits);
  const implied = tree.add(path, type, target);
  const { mode, uid, gid, mtime, sizeBytes, dropped } = framed;
  // Attributes of a link are those of its file; the kernel has no user attributes on symbolic
  // links.
  const xattrs = type === 'link' || type === 'symlink' ? [] : framed.xattrs;
  return { path, type, target, mode, uid, gid, mtime, sizeBytes, xattrs, implied, dropped };
}
