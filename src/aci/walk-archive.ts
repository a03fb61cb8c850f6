import { createHash } from 'node:crypto';

import { type Extract, extract, type Header } from 'tar-stream';

import { type ImageId, parseImageId } from '../appc/index.ts';
import { Refusal } from '../refusal/index.ts';
import { ArchiveTree } from './archive-tree.ts';
import { type Compression, decompress } from './decompress.ts';
import { drained } from './drained.ts';
import { entryPath, hardLinkTarget, symlinkTarget } from './entry-path.ts';
import { type ArchiveLimits, malformed, quoted } from './limits.ts';
import { BLOCK } from './tar-block.ts';
import { type FramedEntry, padding, TarFraming } from './tar-framing.ts';
import type { TarEntry } from './tar-writer.ts';

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

/** What the library really hands over. */
type WalkedHeader = Omit<Header, 'linkname'> & { linkname: string | null; byteOffset?: number };

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
 * Reads a tar in constant memory: undoes its compression, checks its frame (TarFraming), lets `tar-stream` walk the
 * entries, and refuses it where the two readings differ. Bytes are checked as they come, so a bomb ends at its limit.
 *
 * Throws refusals with `archive-*` codes; what `source` throws passes unchanged.
 * @param needsEndMarker - false where a digest proves that the tar is whole: some tools leave it out, and the padding before it
 * @param onTar - told of every byte of the uncompressed tar, whatever follows the end marker included
 */
export async function walkTar(
  source: AsyncIterable<Uint8Array>,
  limits: ArchiveLimits,
  {
    onTar,
    visit,
    needsEndMarker = true,
  }: {
    readonly onTar: (chunk: Buffer) => void;
    readonly visit: Visit<FramedEntry>;
    readonly needsEndMarker?: boolean;
  },
): Promise<Pick<Walked, 'compression' | 'tarSizeBytes'>> {
  let inputBytes = 0;
  const { compression, tar } = await decompress(source, (sizeBytes) => (inputBytes += sizeBytes));
  const framing = new TarFraming(limits);
  const walker = extract();
  let walkerError: unknown;
  walker.on('error', (error: unknown) => (walkerError = error));

  let feedFailure: { error: unknown } | undefined;
  const check = (chunk: Buffer, tarBytes: number) => {
    checkSize(tarBytes, inputBytes, limits);
    onTar(chunk);
    return framing.push(chunk);
  };
  const feeding = feed(tar, walker, check)
    .then((tarBytes) => {
      if (!needsEndMarker && !framing.hasEnded) {
        const missing = Buffer.alloc(padding(tarBytes) + 2 * BLOCK);
        walker.write(missing.subarray(0, framing.push(missing)));
      }
      framing.end();
      walker.end(undefined);
      return tarBytes;
    })
    .catch((error: unknown) => {
      feedFailure = { error };
      walker.destroy(error instanceof Error ? error : new Error(String(error)));
      return 0;
    });

  let tarSizeBytes: number;
  try {
    for await (const entry of walker) {
      // streamx is iterable, though its types do not say so; the chunks are parts of what was fed
      await visit(agree(entry.header, framing.take()), entry as unknown as AsyncIterable<Buffer>);
      entry.resume();
    }
    tarSizeBytes = await feeding;
  } catch (error) {
    const cause = feedFailure; // the first failure; those below only follow from it
    walker.destroy(null); // wakes the feeder, which lets go of the source
    await feeding;
    if (cause) throw cause.error;
    throw error === walkerError ? malformed('The tar library cannot read the archive.', error) : error;
  }
  if (feedFailure) throw feedFailure.error;
  return { compression, tarSizeBytes };
}

/** Returns the size of the tar. `check` returns how much of a chunk is for the walker. */
async function feed(
  tar: AsyncIterable<Buffer>,
  walker: Extract,
  check: (chunk: Buffer, tarBytes: number) => number,
): Promise<number> {
  let tarBytes = 0;
  for await (const chunk of tar) {
    tarBytes += chunk.length;
    const length = check(chunk, tarBytes);
    if (walker.destroyed) return tarBytes;
    if (length > 0 && !walker.write(chunk.subarray(0, length))) await drained(walker);
  }
  return tarBytes;
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

/** Both readings of an entry must be the same, or one of two readers was deceived. */
function agree(header: WalkedHeader, framed: FramedEntry | undefined): FramedEntry {
  if (
    framed?.bodyOffset === header.byteOffset &&
    framed?.type === (header.type === 'contiguous-file' ? 'file' : header.type) &&
    framed.name === header.name &&
    framed.sizeBytes === header.size &&
    (framed.linkname === (header.linkname ?? '') || (framed.type !== 'link' && framed.type !== 'symlink'))
  ) {
    return framed;
  }
  throw malformed(`The entry ${quoted(header.name)} can be read in two ways.`);
}

/** Checks path, links and place; undefined for the archive's own root, which says nothing. */
function checkEntry(framed: FramedEntry, tree: ArchiveTree, limits: ArchiveLimits): ArchiveEntry | undefined {
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
