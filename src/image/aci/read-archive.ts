import type { Writable } from 'node:stream';

import { type ImageId, type ImageManifest, parseImageManifest } from '../appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { BatchedSink, type ArchiveLimits, encodeHeaders, impliedDirectory, TarWriter } from '../tar/index.ts';
import { CanonicalRewrite } from './canonical-rewrite.ts';
import type { Compression } from './decompress.ts';
import { writeImpliedDirectories } from './implied-directories.ts';
import { type ArchiveEntry, ImageCheck, tarChunks, walkArchive, type Walked } from './walk-archive.ts';

export interface ReadOptions {
  readonly limits: ArchiveLimits;
  /**
   * Receives the archive re-encoded as a canonical tar, so that its consumer (mkfs.erofs) never
   * parses hostile headers; `implied` in it lists the directories that no entry named. It is ended
   * when, and only when, the whole archive was accepted, and destroyed otherwise. It is a file or a
   * pipe: its bytes are overwritten after a write has called back.
   */
  readonly canonicalTar?: Writable;
  /**
   * Called for each entry that passed the checks, except the archive's own root. Without a
   * `canonicalTar` it may read the body of the entry, except the manifest's.
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
  /** Entries, including directories that are only implied. */
  readonly entries: number;
  /** Whether there are directories that no entry names: their owner, mode and time are unknown. */
  readonly impliesDirectories: boolean;
  /** Names of extended attributes that were left out, sorted; at most 32. */
  readonly droppedXattrs: readonly string[];
}

const maxDroppedNames = 32;

/**
 * Reads an archive to its end and returns its summary; writes only to `canonicalTar`. Memory does
 * not grow with the archive, except for the set of its paths.
 *
 * Throws refusals: `archive-*` and `image-manifest-missing|duplicate|invalid` for a bad archive,
 * `image-build-failed` when `canonicalTar` breaks. Errors of `source` pass unchanged.
 */
export async function readArchive(
  source: AsyncIterable<Uint8Array>,
  options: ReadOptions,
): Promise<ArchiveSummary> {
  const { canonicalTar } = options;
  const gathered = new Gathered(options.limits);
  const sink = canonicalTar && new BatchedSink(canonicalTar, 'the consumer of the canonical tar', 'in turn');
  try {
    const walked = sink
      ? await rewrite(source, options, gathered, sink)
      : await visitEach(source, options, gathered);
    await sink?.end();
    const { imageId, compression, tarSizeBytes, entries } = walked;
    return { ...{ imageId, compression, tarSizeBytes, entries }, ...gathered.summary() };
  } catch (error) {
    sink?.destroy();
    throw error;
  }
}

async function visitEach(
  source: AsyncIterable<Uint8Array>,
  { limits, onEntry }: ReadOptions,
  gathered: Gathered,
): Promise<Walked> {
  return await walkArchive(source, limits, async (entry, body) => {
    const isManifest = entry.path === 'manifest';
    await onEntry?.(entry, isManifest ? nothing() : body);
    gathered.entry(entry);
    if (isManifest) for await (const part of body) gathered.manifestPart(part);
  });
}

/** Reads the archive chunk by chunk and passes each on as canonical tar. */
async function rewrite(
  source: AsyncIterable<Uint8Array>,
  { limits, onEntry }: ReadOptions,
  gathered: Gathered,
  sink: BatchedSink,
): Promise<Walked> {
  const writer = new TarWriter(sink);
  // The consumer would otherwise choose owner and mode of the root by its own user and umask.
  await writer.entry(impliedDirectory('.'));
  const check = new ImageCheck(limits);
  const output = new CanonicalRewrite();
  let compression: Compression = 'none';
  let tarSizeBytes = 0;
  let isManifest = false;
  for await (const chunk of tarChunks(source, limits, { onTar: (bytes) => check.update(bytes) })) {
    ({ compression } = chunk);
    tarSizeBytes = chunk.offset + chunk.bytes.length;
    // An archive that is not compressed still belongs to the source, which may be writing it to a
    // file.
    const bytes = compression === 'none' ? Buffer.from(chunk.bytes) : chunk.bytes;
    output.begin(bytes, chunk);
    for (const piece of chunk.pieces) {
      if (Buffer.isBuffer(piece)) {
        const start = piece.byteOffset - chunk.bytes.byteOffset;
        output.body(start, start + piece.length);
        if (isManifest) gathered.manifestPart(piece);
        continue;
      }
      const entry = check.entry(piece);
      isManifest = entry?.path === 'manifest';
      if (!entry) continue; // the archive's own root, which has no body
      if (onEntry) await onEntry(entry, nothing());
      gathered.entry(entry);
      for (const path of entry.implied) output.insert(encodeHeaders(impliedDirectory(path)));
      output.entry(piece, isManifest ? { ...entry, mode: 0o644, uid: 0, gid: 0, xattrs: [] } : entry);
    }
    for (const part of output.end()) await sink.write(part);
  }
  const ended = check.end();
  await writeImpliedDirectories(writer, gathered.implied);
  await writer.end();
  return { ...ended, compression, tarSizeBytes };
}

async function* nothing(): AsyncGenerator<Buffer, void> {}

/** Collects the part of the summary that comes from the entries. */
class Gathered {
  readonly #limits: ArchiveLimits;
  readonly #dropped = new Set<string>();
  /** Directories that no entry named so far. */
  readonly implied = new Set<string>();
  readonly #manifest: Buffer[] = [];
  #manifestRemaining = 0;
  #read: Pick<ArchiveSummary, 'manifestBytes' | 'manifest'> | undefined;

  constructor(limits: ArchiveLimits) {
    this.#limits = limits;
  }

  entry(entry: ArchiveEntry): void {
    for (const path of entry.implied) this.implied.add(path);
    this.implied.delete(entry.path);
    for (const name of entry.dropped) if (this.#dropped.size < maxDroppedNames) this.#dropped.add(name);
    if (entry.path !== 'manifest') return;
    if (entry.sizeBytes > this.#limits.maxManifestBytes) {
      throw new Refusal(
        'archive-too-large',
        `the manifest has ${entry.sizeBytes} bytes; the limit is ${this.#limits.maxManifestBytes}`,
      );
    }
    this.#manifestRemaining = entry.sizeBytes;
    if (entry.sizeBytes === 0) this.#endManifest();
  }

  /** The next part of the body of the `manifest` entry. */
  manifestPart(bytes: Buffer): void {
    this.#manifest.push(bytes);
    this.#manifestRemaining -= bytes.length;
    if (this.#manifestRemaining === 0) this.#endManifest();
  }

  #endManifest(): void {
    const manifestBytes = Buffer.concat(this.#manifest);
    this.#read = { manifestBytes, manifest: parseImageManifest(manifestBytes) };
  }

  summary(): Pick<ArchiveSummary, 'manifestBytes' | 'manifest' | 'droppedXattrs' | 'impliesDirectories'> {
    if (!this.#read) throw new Error('the walk lets no archive without a manifest pass');
    return {
      ...this.#read,
      droppedXattrs: [...this.#dropped].sort(),
      impliesDirectories: this.implied.size > 0,
    };
  }
}
