import {
  type AcName,
  layersOf,
  type ListedImage,
  needsMerging,
  parseImageId,
  parseImageManifest,
  parsePodManifest,
  type PodApp,
  renderSteps,
  resolveDependencies,
} from '../../image/appc/index.ts';
import { type Rendering, renderingId } from '../jobs/render/index.ts';
import { isRefusal, Refusal, refusalAt } from '../../core/refusal/index.ts';
import type { StoredImage } from '../store/index.ts';
import type { DesiredState } from '../../wire/trust/index.ts';

/** An image of a desired state that is stored. */
export interface AppImage extends ListedImage {
  /** Size of its uncompressed archive. */
  readonly tarSizeBytes: number;
}

/**
 * The objects of an app's root in overlayfs, the uppermost first, and the rendering of the object
 * if there is one.
 */
export interface AppTree {
  readonly layers: readonly string[];
  readonly rendering?: Rendering;
}

/** The stored images of `desired`, with their parsed manifests. */
export function appImages(desired: DesiredState, images: readonly StoredImage[]): readonly AppImage[] {
  return desired.images.flatMap(({ id, sizeBytes, tarSizeBytes }) => {
    const stored = images.find((image) => image.id === id);
    if (stored === undefined) return [];
    return {
      id: parseImageId(stored.id),
      manifest: parseImageManifest(stored.manifest),
      sizeBytes,
      tarSizeBytes,
      impliesDirectories: stored.impliesDirectories === true,
    };
  });
}

/** @throws Refusal `pod-image-unlisted` */
export function imageOfApp(app: PodApp, pod: AcName, images: readonly AppImage[]): AppImage {
  const image = images.find(({ id }) => id === app.image.id);
  if (image === undefined) {
    throw new Refusal(
      'pod-image-unlisted',
      `app ${app.name} of pod ${pod} uses ${app.image.id}, which the desired state does not list`,
    );
  }
  return image;
}

/**
 * How the tree of an image is made (ace.md#filesystem-setup): of layers if they give the same tree
 * as rendering, else as one rendered object.
 *
 * @throws Refusal `image-dependency-missing`, `image-dependency-invalid`
 */
export function appTree(image: AppImage, images: readonly AppImage[]): AppTree {
  const resolved = resolveDependencies(image, images);
  const parts = layersOf(resolved);
  const imageIds = parts.map(({ id }) => id);
  if (!needsMerging(resolved)) return { layers: imageIds.toReversed() };
  const steps = renderSteps(resolved).map((step) => ({
    image: step.image.id,
    above: step.above.map(({ id }) => id),
  }));
  const id = renderingId(steps);
  return {
    layers: [id],
    rendering: {
      id,
      name: image.manifest.name,
      steps,
      imageIds,
      impliesDirectories: parts.filter((part) => part.impliesDirectories === true).map((part) => part.id),
      sizeBytes: 0,
      tarSizeBytes: parts.reduce((sum, part) => sum + part.tarSizeBytes, 0),
    },
  };
}

/**
 * The trees that must be rendered for the apps of `desired`, each once.
 *
 * @throws Refusal as `imageOfApp` and `appTree`, `pod-manifest-invalid`
 */
export function renderingsOf(desired: DesiredState, images: readonly StoredImage[]): readonly Rendering[] {
  const listed = appImages(desired, images);
  const renderings = new Map<string, Rendering>();
  for (const { name, manifest } of desired.pods) {
    try {
      for (const app of parsePodManifest(manifest).apps) {
        const { rendering } = appTree(imageOfApp(app, name, listed), listed);
        if (rendering !== undefined) renderings.set(rendering.id, rendering);
      }
    } catch (error) {
      throw ofPod(name, error);
    }
  }
  return [...renderings.values()];
}

/** The error of a pod with its name: apps of several pods often have the same name. */
export function ofPod(name: string, error: unknown): unknown {
  const isNamed = isRefusal(error) && error.message.includes(`pod ${name}`);
  return isNamed ? error : refusalAt(`pod ${name}`, error);
}
