import { Refusal } from '../../core/refusal/index.ts';
import type { Dependency, ImageId, ImageManifest } from './types.ts';

/** An image that may serve as a dependency. */
export interface ListedImage {
  readonly id: ImageId;
  readonly manifest: ImageManifest;
  /** Size of the `.aci` file in bytes, if known. */
  readonly sizeBytes?: number;
  /**
   * Whether its archive omits entries of directories, so that their owner, mode and time are
   * unknown.
   */
  readonly impliesDirectories?: boolean;
}

/**
 * An image with its dependencies, in the order of its manifest. An image that is needed twice
 * occurs twice.
 */
export interface ResolvedImage<Image extends ListedImage = ListedImage> {
  readonly image: Image;
  readonly dependencies: readonly ResolvedImage<Image>[];
}

/** Limits of a tree of dependencies. They are wherry's; the specification has none. */
export const dependencyLimits = {
  /** Depth of the tree, in images. */
  depth: 16,
  /**
   * Images in the order of rendering, repeated ones counted each time: a diamond of diamonds
   * doubles them per level.
   */
  images: 128,
} as const;

/**
 * Finds the dependencies of `image` among `images` (aci.md#dependency-matching): by name and
 * labels, and by image ID where the manifest gives one, which then MUST match.
 *
 * @throws Refusal `image-dependency-missing` when none fits, `image-dependency-invalid` for a
 *   cycle, several that fit, another size than in the manifest, or more than `dependencyLimits`
 *   allow
 */
export function resolveDependencies<Image extends ListedImage>(
  image: Image,
  images: readonly Image[],
): ResolvedImage<Image> {
  let count = 0;
  const resolve = (current: Image, above: readonly Image[]): ResolvedImage<Image> => {
    const path = [...above, current];
    if (above.some(({ id }) => id === current.id)) {
      throw invalid(image, `its dependencies go in a circle: ${namesOf(path)}`);
    }
    if (path.length > dependencyLimits.depth) {
      throw invalid(image, `its dependencies lie more than ${dependencyLimits.depth} deep: ${namesOf(path)}`);
    }
    count += 1;
    if (count > dependencyLimits.images) {
      throw invalid(image, `it takes more than ${dependencyLimits.images} images, repeated ones counted`);
    }
    return {
      image: current,
      dependencies: current.manifest.dependencies.map((dependency) =>
        resolve(findDependency(current, dependency, images), path),
      ),
    };
  };
  return resolve(image, []);
}

/** An image to lay over those before it, and the path to it from the rendered image. */
export interface RenderStep<Image = ListedImage> {
  readonly image: Image;
  /**
   * The images that depend on it, the rendered one first: their path whitelists filter it as well
   * as its own (aci.md).
   */
  readonly above: readonly Image[];
}

/**
 * The images in the order in which they are laid over each other, lowest first: depth first, in
 * list order (ace.md).
 */
export function renderSteps<Image extends ListedImage>(
  { image, dependencies }: ResolvedImage<Image>,
  above: readonly Image[] = [],
): readonly RenderStep<Image>[] {
  const path = [...above, image];
  return [...dependencies.flatMap((dependency) => renderSteps(dependency, path)), { image, above }];
}

/** The images of `renderSteps` alone. */
export function renderOrder<Image extends ListedImage>(resolved: ResolvedImage<Image>): readonly Image[] {
  return renderSteps(resolved).map(({ image }) => image);
}

/**
 * Whether the objects of the images, laid over each other by overlayfs, would make another tree
 * than rendering: overlayfs does not hide what a path whitelist leaves out, and takes owner and
 * mode of a directory from the uppermost layer, where they must be known.
 */
export function needsMerging(resolved: ResolvedImage): boolean {
  const layers = layersOf(resolved);
  return (
    layers.some(({ manifest }) => manifest.pathWhitelist.length > 0) ||
    layers.slice(1).some(({ impliesDirectories }) => impliesDirectories === true)
  );
}

/**
 * An image and its dependencies, each once, lowest first. Without path whitelists they are its
 * layers: an image that occurs twice covers itself completely, so only its uppermost place counts.
 */
export function layersOf<Image extends ListedImage>(resolved: ResolvedImage<Image>): readonly Image[] {
  const order = renderOrder(resolved);
  return order.filter((image, index) => order.findLastIndex(({ id }) => id === image.id) === index);
}

function findDependency<Image extends ListedImage>(
  of: Image,
  dependency: Dependency,
  images: readonly Image[],
): Image {
  const { imageName, imageId, labels, sizeBytes } = dependency;
  const wanted = `the dependency ${describe(dependency)}`;
  const fits = images.filter(
    ({ id, manifest }) =>
      manifest.name === imageName &&
      (imageId === undefined || id === imageId) &&
      labels.every((label) =>
        manifest.labels.some(({ name, value }) => name === label.name && value === label.value),
      ),
  );
  const [found, ...others] = [...new Map(fits.map((image) => [image.id, image])).values()];
  if (found === undefined) {
    throw new Refusal(
      'image-dependency-missing',
      `${of.manifest.name}: ${wanted} is not among the images that were given`,
    );
  }
  if (others.length > 0) {
    throw invalid(of, `several images fit ${wanted}; only its imageID or more labels can say which`);
  }
  if (sizeBytes !== undefined && found.sizeBytes !== undefined && sizeBytes !== BigInt(found.sizeBytes)) {
    throw invalid(of, `${wanted} has ${found.sizeBytes} bytes, its manifest says ${sizeBytes}`);
  }
  return found;
}

function describe({ imageName, imageId, labels }: Dependency): string {
  const pairs = labels.map(({ name, value }) => `,${name}=${JSON.stringify(value)}`);
  return `${imageName}${pairs.join('')}${imageId === undefined ? '' : ` (${imageId.slice(0, 19)})`}`;
}

function namesOf(images: readonly ListedImage[]): string {
  return images.map(({ manifest }) => manifest.name).join(' → ');
}

function invalid(image: ListedImage, problem: string): Refusal {
  return new Refusal('image-dependency-invalid', `${image.manifest.name}: ${problem}`);
}
