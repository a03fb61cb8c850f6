import type { Writable } from 'node:stream';

import { type ImageId, type ImageManifest, parseImageManifest } from '../appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { BatchedSink, type ArchiveLimits, impliedDirectory, TarWriter } from '../tar/index.ts';
import type { Compression } from './decompress.ts';
import { writeImpliedDirectories } from './implied-directories.ts';
import { type ArchiveEntry, walkArchive } from './walk-archive.ts';

export interface ReadOptions {
  readonly limits: ArchiveLimits;
  /**
   * Takes a tar that says the same as the archive and is written anew from what was understood, so that its consumer
   * (mkfs.erofs) never parses hostile headers; `implied` in it lists the directories that no entry named. It is ended when, and only when, the whole archive was accepted, and
   * destroyed otherwise.
   */
  readonly canonicalTar?: Writable;
  /**
   * Told of each entry that passed the checks, the archive's own root left out. Without a `canonicalTar` it may take the
   * bytes of the entry, but for the manifest's.
   */
  readonly onEntry?: (entry: ArchiveEntry, body: AsyncIterable<Buffer>) => void | Promise<void>;
}

export interface ArchiveSummary {
  readonly imageId: ImageId;
  /** The exact bytes of the image manifest. */
  readonly manifestBytes: Buffer;
  readonly manifest: ImageManifest;
  readonly compression: Compression;
  readonly tarSizeBytes: number;
  /** Entries, those included that others only imply. */
  readonly entries: number;
  /** Whether there are directories that no entry names: nothing is known of their owner, mode and time. */
  readonly impliesDirectories: boolean;
  /** Names of extended attributes that were left out, sorted; at most 32. */
  readonly droppedXattrs: readonly string[];
}

const maxDroppedNames = 32;

/**
 * Reads an archive to its end and says what it is; nothing is written but to `canonicalTar`. Memory does not grow with
 * the archive, but for the set of its paths.
 *
 * Throws refusals: `archive-*` and `image-manifest-missing|duplicate|invalid` for what is wrong with the archive,
 * `image-build-failed` when `canonicalTar` breaks. What `source` throws passes unchanged.
 */
export async function readArchive(
  source: AsyncIterable<Uint8Array>,
  options: ReadOptions,
): Promise<ArchiveSummary> {
  const { limits, canonicalTar } = options;
  const sink = canonicalTar && new BatchedSink(canonicalTar, 'The consumer of the canonical tar');
  const writer = sink && new TarWriter(sink);
  const dropped = new Set<string>();
  const implied = new Set<string>();
  let read: Pick<ArchiveSummary, 'manifestBytes' | 'manifest'> | undefined;
  try {
    // The consumer would otherwise choose owner and mode of the root by its own user and umask.
    await writer?.entry(impliedDirectory('.'));
    const walked = await walkArchive(source, limits, async (entry, body) => {
      await options.onEntry?.(entry, entry.path === 'manifest' ? nothing() : body);
      for (const path of entry.implied) implied.add(path);
      implied.delete(entry.path);
      for (const name of entry.dropped) if (dropped.size < maxDroppedNames) dropped.add(name);
      if (entry.path === 'manifest') {
        const manifestBytes = await readManifest(entry, body, limits);
        read = { manifestBytes, manifest: parseImageManifest(manifestBytes) };
        await writer?.entry({ ...entry, mode: 0o644, uid: 0, gid: 0, xattrs: [] });
        await writer?.body(manifestBytes);
      } else if (writer) {
        for (const path of entry.implied) await writer.entry(impliedDirectory(path));
        await writer.entry(entry);
        if (entry.sizeBytes > 0) for await (const chunk of body) await writer.body(chunk);
      }
    });
    if (!read) throw new Error('the walk lets no archive without a manifest pass');
    if (writer) await writeImpliedDirectories(writer, implied);
    await writer?.end();
    await sink?.end();
    const { imageId, compression, tarSizeBytes, entries } = walked;
    const droppedXattrs = [...dropped].sort();
    return {
      ...{ imageId, ...read, compression, tarSizeBytes, entries, droppedXattrs },
      impliesDirectories: implied.size > 0,
    };
  } catch (error) {
    sink?.destroy();
    throw error;
  }
}

async function* nothing(): AsyncGenerator<Buffer, void> {}

/** The body of the `manifest` entry. */
async function readManifest(
  entry: ArchiveEntry,
  body: AsyncIterable<Buffer>,
  limits: ArchiveLimits,
): Promise<Buffer> {
  if (entry.sizeBytes > limits.maxManifestBytes) {
    throw new Refusal(
      'archive-too-large',
      `The manifest has ${entry.sizeBytes} bytes; the limit is ${limits.maxManifestBytes}.`,
    );
  }
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}
