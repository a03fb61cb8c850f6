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
  /** The digest of the uncompressed tar, whatever follows the end marker included (aci.md#image-id). */
  readonly imageId: ImageId;
  readonly compression: Compression;
  readonly tarSizeBytes: number;
  /** Entries, those included that others only imply. */
  readonly entries: number;
}

/** Called for each entry in the archive's order. Bytes of `body` that it does not take are skipped. */
export type Visit<Entry> = (entry: Entry, body: AsyncIterable<Buffer>) => Promise<void>;

const ratioAppliesFrom = 1024 * 1024;

/**
 * Reads an image archive from the first to the last byte, as `walkTar` does, and checks what makes a tar an image: paths,
 * links, places, `manifest` and `rootfs`.
 *
 * Throws refusals with `archive-*` and `image-manifest-*` codes; what `source` throws passes unchanged.
 */
export async function walkArchive(
  source: AsyncIterable<Uint8Array>,
  limits: ArchiveLimits,
  visit: Visit<ArchiveEntry>,
): Promise<Walked> {
  const tree = new ArchiveTree(limits);
  const hash = createHash('sha512');
  const walked = await walkTar(source, limits, {
    onTar: (chunk) => hash.update(chunk),
    visit: async (framed, body) => {
      const checked = checkEntry(framed, tree, limits);
      if (checked) await visit(checked, body);
    },
  });
  if (!tree.has('manifest')) throw new Refusal('image-manifest-missing', 'The archive has no manifest.');
  if (!tree.has('rootfs')) throw malformed('The archive has no "rootfs" directory.');
  return { ...walked, imageId: parseImageId(`sha512-${hash.digest('hex')}`), entries: tree.size };
}

/**
 * Reads a tar in constant memory: undoes its compression, reads its frame (TarFraming), and refuses it where `tar-stream`
 * reads it otherwise. Bytes are checked as they come, so a bomb ends at its limit.
 *
 * Throws refusals with `archive-*` codes; what `source` throws passes unchanged.
 */
export async function walkTar(
  source: AsyncIterable<Uint8Array>,
  limits: ArchiveLimits,
  options: Omit<WalkOptions, 'inputBytes'>,
): Promise<Pick<Walked, 'compression' | 'tarSizeBytes'>> {
  let inputBytes = 0;
  const { compression, tar } = await decompress(
    source,
    limits.decoderMemoryMiB,
    (sizeBytes) => (inputBytes += sizeBytes),
  );
  const tarSizeBytes = await walkPlainTar(tar, limits, { ...options, inputBytes: () => inputBytes });
  return { compression, tarSizeBytes };
}

export interface WalkOptions {
  /** Told of every byte of the uncompressed tar, whatever follows the end marker included. */
  readonly onTar: (chunk: Buffer) => void;
  readonly visit: Visit<FramedEntry>;
  /** False where a digest proves that the tar is whole: some tools leave it out, and the padding before it. */
  readonly needsEndMarker?: boolean;
  /** Compressed bytes so far, for the ratio. */
  readonly inputBytes: () => number;
}

/** As `walkTar`, of a tar without compression. Returns its size in bytes. */
export async function walkPlainTar(
  tar: AsyncIterable<Buffer>,
  limits: ArchiveLimits,
  { onTar, visit, needsEndMarker = true, inputBytes }: WalkOptions,
): Promise<number> {
  let tarSizeBytes = 0;
  const pieces = (async function* (): AsyncGenerator<TarPiece, undefined> {
    const framing = new TarFraming(limits);
    const library = new SecondReading();
    try {
      for await (const chunk of tar) {
        tarSizeBytes += chunk.length;
        checkSize(tarSizeBytes, inputBytes(), limits);
        onTar(chunk);
        const length = framing.push(chunk);
        const framed = framing.take();
        await library.agree(chunk.subarray(0, length), framed);
        for (const piece of framed) yield piece;
      }
      if (!needsEndMarker && !framing.hasEnded) {
        const missing = Buffer.alloc(padding(tarSizeBytes) + 2 * BLOCK);
        const length = framing.push(missing);
        if (framing.take().length > 0) throw malformed('The archive ends within a file: it was cut off.');
        await library.agree(missing.subarray(0, length), []);
      }
      framing.end();
      await library.end();
    } finally {
      library.close();
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
    if (!Buffer.isBuffer(value)) throw new Error('the body of an entry was asked for after its visit');
    left -= value.length;
    yield value;
  }
}

function checkSize(tarBytes: number, inputBytes: number, limits: ArchiveLimits): void {
  if (tarBytes > limits.maxTarBytes) {
    throw new Refusal('archive-too-large', `The archive unpacks to more than ${limits.maxTarBytes} bytes.`);
  }
  if (tarBytes > ratioAppliesFrom && tarBytes > inputBytes * limits.maxRatio) {
    throw new Refusal(
      'archive-too-large',
      `The archive unpacks to more than ${limits.maxRatio} times its size: ${tarBytes} bytes from ${inputBytes}.`,
    );
  }
}

/** Checks path, links and place; undefined for the archive's own root, which says nothing. */
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
      `The entry "${path}" is a ${type}; it must be a ${required}.`,
    );
  }
  let target = '';
  if (type === 'link') target = hardLinkTarget(name, linkname, limits);
  if (type === 'symlink') target = symlinkTarget(name, linkname, limits);
  const implied = tree.add(path, type, target);
  const { mode, uid, gid, mtime, sizeBytes, dropped } = framed;
  // Attributes of a link are those of its file; the kernel has no user attributes on symbolic links.
  const xattrs = type === 'link' || type === 'symlink' ? [] : framed.xattrs;
  return { path, type, target, mode, uid, gid, mtime, sizeBytes, xattrs, implied, dropped };
}
