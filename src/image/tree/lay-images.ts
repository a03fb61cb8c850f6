import {
  type Directory,
  emptyTree,
  filtered,
  overlay,
  pathFilter,
  type PathFilter,
} from './rendered-tree.ts';

/**
 * An image that is laid over those before it, filtered by its own path whitelist and those of the
 * images above.
 */
export interface LayStep<Image> {
  readonly image: Image;
  readonly above: readonly Image[];
}

/**
 * The source of trees and whitelists: archives for the operator, mounted objects on a device. Each
 * image is read once.
 */
export interface ImageSource<Image> {
  treeOf(image: Image): Promise<Directory>;
  whitelistOf(image: Image): Promise<readonly string[]>;
}

/**
 * The rendered tree (ace.md#filesystem-setup): each image is filtered by every whitelist on the
 * path to it, and laid over the images before it. A whitelist of a sibling has no effect.
 *
 * @param steps as `renderSteps` orders them
 */
export async function layImages<Image extends { readonly id: string }>(
  steps: readonly LayStep<Image>[],
  source: ImageSource<Image>,
): Promise<Directory> {
  const treeOf = onceEach((image: Image) => source.treeOf(image));
  const filterOf = onceEach(async (image: Image): Promise<PathFilter | undefined> =>
    pathFilter(await source.whitelistOf(image)),
  );
  let tree = emptyTree;
  for (const { image, above } of steps) {
    let own = await treeOf(image);
    for (const filtering of [...above, image]) own = filtered(own, await filterOf(filtering));
    tree = overlay(tree, own);
  }
  return tree;
}

function onceEach<Image extends { readonly id: string }, Value>(
  make: (image: Image) => Promise<Value>,
): (image: Image) => Promise<Value> {
  const made = new Map<string, Promise<Value>>();
  return (image) => {
    const value = made.get(image.id) ?? make(image);
    made.set(image.id, value);
    return value;
  };
}
