import { closeSync, constants, fstatSync, openSync, readlinkSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { type ImageManifest, parseImageManifest, serializeImageManifest } from '../appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import {
  BatchedSink,
  withTarOf,
  type ArchiveLimits,
  quoted,
  impliedDirectory,
  TarWriter,
} from '../tar/index.ts';
import { asBuffer, readImpliedDirectories, readArchive } from '../aci/index.ts';
import { layImages, type LayStep } from './lay-images.ts';
import { type Directory, sourceEntries, TreeOfArchive } from './rendered-tree.ts';
import type { SourceEntry } from './source-tree.ts';

/** An image whose object is mounted. */
export interface MountedImage {
  readonly id: string;
  /**
   * The mount point, with `manifest` and `rootfs`. Read-only, so that two reads return the same.
   */
  readonly directory: string;
  /** Its archive omitted entries of directories, so its object must list them. */
  readonly impliesDirectories: boolean;
}

export interface MountedRendering {
  /** As `renderSteps` orders them: the last is the image that is rendered. */
  readonly steps: readonly LayStep<MountedImage>[];
  /** For each image; `maxEntries` also applies to all of them together. */
  readonly limits: ArchiveLimits;
}

/** Bytes read from a file at a time. */
const chunkBytes = 128 * 1024;

/**
 * Renders mounted images like `renderImage` renders archives, and writes the tar that reading its
 * archive would give: the object made from it is the same, byte for byte. Only names and properties
 * are held in memory; contents are read from the mounted objects.
 *
 * `canonicalTar`, a file or a pipe, is ended when, and only when, everything was written, and
 * destroyed otherwise.
 *
 * @throws Refusal `image-corrupt` when an object is not what an archive makes,
 *   `image-dependency-invalid`, `archive-too-large`, `image-build-failed` when `canonicalTar`
 *   breaks
 */
export async function renderMounted(rendering: MountedRendering, canonicalTar: Writable): Promise<void> {
  const { steps, limits } = rendering;
  const top = steps.at(-1)?.image;
  if (top === undefined) throw new Error('there is nothing to render');
  const sink = new BatchedSink(canonicalTar, 'the consumer of the rendered tar', 'in turn');
  const counted = { entries: 0 };
  try {
    const tree = await layImages(steps, {
      treeOf: (image) => readTree(image, limits, counted),
      whitelistOf: async (image) => (await readManifest(image, limits)).pathWhitelist,
    });
    const manifest = { ...(await readManifest(top, limits)), dependencies: [], pathWhitelist: [] };
    await writeTree(new TarWriter(sink), manifest, tree);
    await sink.end();
  } catch (error) {
    sink.destroy();
    throw error;
  }
}

/** The tree below `rootfs`, read as strictly as the archive was. */
async function readTree(
  image: MountedImage,
  limits: ArchiveLimits,
  counted: { entries: number },
): Promise<Directory> {
  const { directory } = image;
  const implied = await readImpliedDirectories(directory);
  if (image.impliesDirectories && implied.size === 0) {
    throw new Refusal(
      'image-dependency-invalid',
      `the archive of ${image.id.slice(0, 19)} leaves out entries of directories, and its object does not say of which; build it again with "wherry image build"`,
    );
  }
  const own = new TreeOfArchive();
  const content = { below: `${directory}/rootfs` };
  const read = async (tar: AsyncIterable<Buffer>): Promise<void> => {
    await readArchive(tar, {
      limits,
      onEntry: (entry) => {
        counted.entries += 1;
        if (counted.entries > limits.maxEntries) {
          throw new Refusal(
            'archive-too-large',
            `the images together have more than ${limits.maxEntries} entries`,
          );
        }
        if (entry.path === 'manifest' || implied.has(entry.path)) return;
        own.add(entry, entry.type === 'file' ? content : undefined);
      },
    });
  };
  await withTarOf(directory, ['manifest', 'rootfs'], read, (said) => corrupt(directory, said));
  return own.tree;
}

async function readManifest({ directory }: MountedImage, limits: ArchiveLimits): Promise<ImageManifest> {
  const path = `${directory}/manifest`;
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const status = await file.stat();
    if (!status.isFile() || status.size > limits.maxManifestBytes) {
      throw corrupt(path, 'it is not a manifest');
    }
    return parseImageManifest(await file.readFile());
  } finally {
    await file.close();
  }
}

async function writeTree(writer: TarWriter, manifest: ImageManifest, tree: Directory): Promise<void> {
  const bytes = asBuffer(serializeImageManifest(manifest));
  await writer.entry(impliedDirectory('.'));
  const sizeBytes = bytes.length;
  await writer.entry({ ...impliedDirectory('manifest'), type: 'file', mode: 0o644, sizeBytes });
  await writer.body(bytes);
  for (const entry of sourceEntries(tree)) {
    await writer.entry(entry);
    if (entry.sizeBytes > 0) await writeMountedFile(writer, entry);
  }
  await writer.end();
}

/**
 * Writes the body of a file of a mounted object. The calls are synchronous: there may be a hundred
 * thousand files, and nothing else waits in this process.
 */
async function writeMountedFile(writer: TarWriter, { content, sizeBytes }: SourceEntry): Promise<void> {
  if (content === undefined || !('file' in content)) throw new Error('contents lie in mounted objects only');
  const path = content.file;
  const file = openWithoutLinks(path);
  try {
    if (fstatSync(file).size !== sizeBytes) throw corrupt(path, 'its size is not what its directory said');
    for (let done = 0; done < sizeBytes;) {
      const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, sizeBytes - done)); // the sink may keep it
      const length = readSync(file, buffer, 0, buffer.length, done);
      if (length === 0) throw corrupt(path, 'it ends early');
      await writer.body(buffer.subarray(0, length));
      done += length;
    }
  } finally {
    closeSync(file);
  }
}

/**
 * Opens a regular file, and ensures that no link was followed: the kernel reports the path of the
 * opened file. The tree was read without following links, but the files that are read on a device
 * must not depend on that.
 */
function openWithoutLinks(path: string): number {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    throw corrupt(path, 'it cannot be opened', cause);
  }
  if (fstatSync(file).isFile() && readlinkSync(`/proc/self/fd/${file}`) === path) return file;
  closeSync(file);
  throw corrupt(path, 'it is not the file that was listed');
}

function corrupt(path: string, what: string, cause?: unknown): Refusal {
  return new Refusal('image-corrupt', `${quoted(path)} in a mounted image cannot be read: ${what}`, {
    cause,
  });
}
