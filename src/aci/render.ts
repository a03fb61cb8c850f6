import { type ListedImage, resolveDependencies, type ResolvedImage } from '../appc/index.ts';
import { arrange, type BuiltArchive, writeAci } from './builder.ts';
import { type Directory, emptyTree, overlay, sourceEntries, whitelisted } from './rendered-tree.ts';
import { type SpooledTrees, withSpooledTrees } from './spooled-trees.ts';

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
  const { image, output, compression } = options;
  const resolved = resolveDependencies(image, options.among);
  return await withSpooledTrees(output, async (trees) =>
    writeAci({
      manifest: { ...image.manifest, dependencies: [], pathWhitelist: [] },
      entries: arrange(sourceEntries(await render(resolved, trees, emptyTree, []))),
      output,
      compression,
    }),
  );
}

/**
 * Lays an image and its dependencies over `below`, in the order of `renderOrder`.
 * @param above path whitelists of the images that depend on it: each filters it (aci.md, pathWhitelist)
 */
async function render(
  { image, dependencies }: ResolvedImage<ImageFile>,
  trees: SpooledTrees,
  below: Directory,
  above: readonly (readonly string[])[],
): Promise<Directory> {
  const lists = [...above, image.manifest.pathWhitelist];
  let tree = below;
  for (const dependency of dependencies) tree = await render(dependency, trees, tree, lists);
  return overlay(tree, lists.reduce(whitelisted, await trees.treeOf(image.path)));
}
