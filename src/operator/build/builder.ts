import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';

import {
  type ImageId,
  type ImageManifest,
  parseImageId,
  parseImageManifest,
  serializeImageManifest,
} from '../../image/appc/index.ts';
import { isRefusal, localErrorOf, Refusal } from '../../core/refusal/index.ts';
import {
  BatchedSink,
  defaultArchiveLimits,
  quoted,
  type Xattr,
  type ByteSink,
  impliedDirectory,
  type TarEntry,
  TarWriter,
} from '../../image/tar/index.ts';
import { asBuffer } from '../../image/aci/index.ts';
import { gzipWithinRatio } from './gzip-within-ratio.ts';
import { writeOutput } from './output-file.ts';
import {
  type Addition,
  type LeaveOut,
  type LeftOut,
  readSourceTree,
  type SourceEntry,
} from '../../image/tree/index.ts';
import { accountNote } from './missing-account.ts';
import { programNote } from './missing-program.ts';
import { checkWritable, readBack } from './writable.ts';
import { writeEntry } from './write-entry.ts';

export interface BuildOptions {
  /** The directory that becomes `rootfs`. */
  readonly root: string;
  /** Bytes are written unchanged after they have been parsed. */
  readonly manifest: Uint8Array | ImageManifest;
  /** The file to write; it appears when it is complete. */
  readonly output: string;
  readonly compression: 'gzip' | 'none';
  /** Laid over `root` in this order; missing parents are made. */
  readonly additions?: readonly Addition[];
  /** Owner of everything, in place of the files' own. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** SOURCE_DATE_EPOCH: seconds since 1970; later times are set back to it. */
  readonly latest?: number;
  /** By path in the app's root, for example `/bin/ping`; Node cannot read them itself. */
  readonly xattrs?: ReadonlyMap<string, readonly Xattr[]>;
  /** Which files of `root` do not belong in the image. */
  readonly leaveOut?: LeaveOut;
}

export interface BuiltArchive {
  readonly imageId: ImageId;
  readonly sizeBytes: number;
  readonly tarSizeBytes: number;
  readonly manifest: ImageManifest;
  /** Sockets in `root`, as paths in the app's root. */
  readonly skipped: readonly string[];
  /** What devices accept and the author probably did not mean. */
  readonly notes: readonly string[];
}

/**
 * Builds an archive of a directory. The same input gives the same image ID anywhere, and the same
 * file with the same version of zlib.
 *
 * Refuses with `image-manifest-invalid`, `not-found` or `input-invalid` (device nodes, names that
 * are not UTF-8, files that change while they are read).
 */
export async function buildAci(
  options: BuildOptions,
): Promise<BuiltArchive & { readonly leftOut: readonly LeftOut[] }> {
  const { entries, skipped, leftOut } = await readSourceTree({
    root: options.root,
    additions: options.additions ?? [],
    owner: options.owner,
    latest: options.latest,
    xattrs: options.xattrs ?? new Map(),
    leaveOut: options.leaveOut,
  });
  return { ...(await writeAci({ ...options, entries })), skipped, leftOut };
}

/** What `writeAci` needs of the options of a build, and the tree. */
export interface WriteOptions extends Pick<BuildOptions, 'manifest' | 'output' | 'compression' | 'latest'> {
  /**
   * Entries below `rootfs`, with `rootfs` first, in the order in which they are written; see
   * `arrange`. They are iterated more than once.
   */
  readonly entries: Iterable<SourceEntry>;
  /** The name of the file in refusals, if `output` is a temporary path. */
  readonly called?: string;
}

/**
 * Writes an archive: `manifest` first, so that readers know early which image it is, then the
 * entries. Refuses what a device would refuse before it writes anything, and reads the archive back
 * as a device does.
 *
 * Refuses as `buildAci` does, and with `archive-…`.
 */
export async function writeAci(options: WriteOptions): Promise<Omit<BuiltArchive, 'skipped'>> {
  return await writeOutput(options.output, (path) => writeArchive(path, options));
}

async function writeArchive(path: string, options: WriteOptions): Promise<Omit<BuiltArchive, 'skipped'>> {
  const { entries, called: output = options.output } = options;
  const { bytes: manifest, value } = checkedManifest(options.manifest, output);
  const mtime = options.latest ?? 0;
  const sizeBytes = manifest.length;
  const first: TarEntry = { ...impliedDirectory('manifest'), type: 'file', mode: 0o644, mtime, sizeBytes };
  checkWritable(allOf(first, entries), output, limits);
  const { stream, written } = openOutput(path, options.compression);
  written.catch(() => undefined); // reported by `out` when it happens before the end
  const out = new BatchedSink(stream, `the file ${quoted(output)}`);
  try {
    const tar = new DigestingSink(out);
    const writer = new TarWriter(tar);
    await writer.entry(first);
    await writer.body(manifest);
    for (const entry of entries) await writeEntry(writer, entry);
    await writer.end();
    await out.end();
    await written;
    const imageId = tar.imageId();
    const file = await stat(path);
    // A device or a pipe cannot be read back.
    const accounts = file.isFile() ? await readBack(path, output, imageId, limits) : undefined;
    const notes = [
      programNote(value, entries),
      accounts === undefined ? undefined : accountNote(value, accounts),
    ].filter((note) => note !== undefined);
    return { imageId, sizeBytes: file.size, tarSizeBytes: tar.sizeBytes, manifest: value, notes };
  } catch (error) {
    out.destroy();
    // The error of the file is more exact than that of the sink before it.
    const failure = await written.catch((cause: unknown) => cause);
    throw isOfSink(error) && localErrorOf(failure) !== undefined ? failure : error;
  }
}

function isOfSink(error: unknown): boolean {
  return isRefusal(error, 'image-build-failed') || localErrorOf(error) !== undefined;
}

/** What every device accepts; its configuration can only lower the sizes. */
const limits = defaultArchiveLimits;

function* allOf(first: TarEntry, others: Iterable<TarEntry>): Generator<TarEntry, void> {
  yield first;
  yield* others;
}

function checkedManifest(
  manifest: Uint8Array | ImageManifest,
  output: string,
): { readonly bytes: Buffer; readonly value: ImageManifest } {
  const bytes = asBuffer(manifest instanceof Uint8Array ? manifest : serializeImageManifest(manifest));
  if (bytes.length > limits.maxManifestBytes) {
    throw new Refusal(
      'archive-too-large',
      `${output} is not written: its manifest has ${bytes.length} bytes; devices accept at most ${limits.maxManifestBytes}`,
    );
  }
  return { bytes, value: parseImageManifest(bytes) };
}

function openOutput(
  path: string,
  compression: 'gzip' | 'none',
): { stream: Writable; written: Promise<void> } {
  const file = createWriteStream(path);
  if (compression === 'none') return { stream: file, written: finished(file) };
  const gzip = gzipWithinRatio(limits.maxRatio);
  return { stream: gzip, written: pipeline(gzip, file) };
}

/** Digests the bytes that pass through it. */
class DigestingSink implements ByteSink {
  readonly #next: ByteSink;
  readonly #hash = createHash('sha512');
  sizeBytes = 0;

  constructor(next: ByteSink) {
    this.#next = next;
  }

  async write(bytes: Buffer): Promise<void> {
    this.#hash.update(bytes);
    this.sizeBytes += bytes.length;
    await this.#next.write(bytes);
  }

  /** Once, after the last byte. */
  imageId(): ImageId {
    return parseImageId(`sha512-${this.#hash.digest('hex')}`);
  }
}
