import { type ListedImage, renderSteps, resolveDependencies } from '../../image/appc/index.ts';
import { type BuiltArchive, writeAci } from './builder.ts';
import { layImages, sourceEntries } from '../../image/tree/index.ts';
import { withSpooledTrees } from './spooled-trees.ts';

/** An image in a file. */
export interface ImageFile extends ListedImage {
  readonly path: string;
}

export interface RenderOptions {
  readonly image: ImageFile;
  /** The images among which its dependencies are searched. */
  readonly among: readonly ImageFile[];
  readonly output: string;
  readonly compression: 'gzip' | 'none';
}

/**
 * Renders an image (ace.md#filesystem-setup): lays it over its dependencies, applies path
 * whitelists, and writes one archive without dependencies. Its manifest is the image's, without
 * `dependencies` and `pathWhitelist`. The same images give the same bytes.
 *
 * @throws Refusal as `resolveDependencies`, `readArchive` and `writeAci`; nothing is written then
 */
export async function renderImage(options: RenderOptions): Promise<Omit<BuiltArchive, 'skipped'>> {
  const { image, among, output, compression } = options;
  const steps = renderSteps(resolveDependencies(image, among));
  return await withSpooledTrees(output, async (trees) => {
    const tree = await layImages(steps, {
      treeOf: ({ path }) => trees.treeOf(path),
      whitelistOf: ({ manifest }) => Promise.resolve(manifest.pathWhitelist),
    });
    const manifest = { ...image.manifest, dependencies: [], pathWhitelist: [] };
    return await writeAci({ manifest, entries: sourceEntries(tree), output, compression });
  });
}
