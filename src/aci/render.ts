import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm, type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { resolveDependencies, type ListedImage, type ResolvedImage } from '../appc/index.ts';
import { arrange, writeAci, type BuiltArchive } from './builder.ts';
import { defaultArchiveLimits } from './limits.ts';
import { readArchive } from './read-archive.ts';
import {
  type Directory,
  emptyTree,
  overlay,
  sourceEntries,
  TreeOfArchive,
  whitelisted,
} from './rendered-tree.ts';

/** An image in a file. */
export interface ImageFile extends ListedImage {
  readonly path: string;
}

export interface RenderOptions {
  readonly image: ImageFile;
  /** Where its dependencies are looked for. */
  readonly among: readonly ImageFile[];
  readonly output: string;
  readonly compression: 'gzip' | 'none';
}

/**
 * Renders an image (ace.md#filesystem-setup): its dependencies and itself laid over each other, path whitelists applied, as
 * one archive that needs no other. Its manifest is the image's, without `dependencies` and `pathWhitelist`. The same images
 * give the same bytes.
 *
 * @throws Refusal as `resolveDependencies`, `readArchive` and `writeAci`; nothing is written then
 */
export async function renderImage(options: RenderOptions): Promise<Omit<BuiltArchive, 'skipped'>> {
  const resolved = resolveDependencies(options.image, options.among);
  const scratch = await mkdtemp(join(dirname(resolve(options.output)), '.wherry-render-'));
  try {
    const spool = await open(join(scratch, 'files'), 'wx+', 0o600);
    try {
      const renderer = new Renderer(spool, join(scratch, 'files'));
      const tree = await renderer.render(resolved);
      return await writeAci({
        manifest: { ...options.image.manifest, dependencies: [], pathWhitelist: [] },
        entries: arrange(sourceEntries(tree)),
        output: options.output,
        compression: options.compression,
      });
    } finally {
      await spool.close();
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Lays the trees of images over each other; each archive is read once, however often it is needed. */
class Renderer {
  readonly #spool: FileHandle;
  readonly #spoolPath: string;
  readonly #read = new Map<string, Directory>();
  #spooledBytes = 0;

  constructor(spool: FileHandle, spoolPath: string) {
    this.#spool = spool;
    this.#spoolPath = spoolPath;
  }

  /**
   * Lays an image and its dependencies over `below`, in the order of `renderOrder`.
   * @param above path whitelists of the images that depend on it: each filters it (aci.md, pathWhitelist)
   */
  async render(
    { image, dependencies }: ResolvedImage<ImageFile>,
    below: Directory = emptyTree,
    above: readonly (readonly string[])[] = [],
  ): Promise<Directory> {
    const lists = [...above, image.manifest.pathWhitelist];
    let tree = below;
    for (const dependency of dependencies) tree = await this.render(dependency, tree, lists);
    return overlay(tree, lists.reduce(whitelisted, await this.#treeOf(image)));
  }

  async #treeOf(image: ImageFile): Promise<Directory> {
    const tree = this.#read.get(image.id) ?? (await this.#own(image));
    this.#read.set(image.id, tree);
    return tree;
  }

  async #own({ path }: ImageFile): Promise<Directory> {
    const own = new TreeOfArchive();
    await readArchive(createReadStream(path), {
      limits: defaultArchiveLimits,
      onEntry: async (entry, body) => {
        if (entry.path === 'manifest') return;
        const offset = this.#spooledBytes;
        if (entry.type === 'file') await this.#keep(body);
        own.add(entry, entry.type === 'file' ? { file: this.#spoolPath, offset } : undefined);
      },
    });
    return own.tree;
  }

  async #keep(body: AsyncIterable<Buffer>): Promise<void> {
    for await (const chunk of body) {
      await this.#spool.write(chunk, 0, chunk.length, this.#spooledBytes);
      this.#spooledBytes += chunk.length;
    }
  }
}
