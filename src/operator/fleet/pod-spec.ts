import {
  layersOf,
  needsMerging,
  parsePodManifest,
  resolveDependencies,
  serializeImageManifest,
  serializePodManifest,
  type AcName,
  type App,
  type ImageManifest,
  type Volume,
} from '../../image/appc/index.ts';
import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import type { DesiredPod } from '../../wire/trust/index.ts';
import type { OfferedImage } from './offered-image.ts';

/**
 * Turns what an operator writes into the reified pod manifests that are signed (pods.md): every
 * image becomes an ID. Pure; the caller supplies the images.
 */

/** The images of one deployment, found by file, by name, or by ID. */
export class OfferedImages {
  readonly #images: readonly OfferedImage[];

  constructor(images: readonly OfferedImage[]) {
    this.#images = images;
  }

  /**
   * The one image that `reference` names: the path under which it was given, its file name, its
   * name with or without labels (`example.com/web`, `example.com/web:1.0,arch=aarch64`), or its ID
   * or the beginning of it.
   * @throws Refusal `not-found`, or `input-invalid` when several fit
   */
  find(reference: string, wanted: string): OfferedImage {
    const [name = '', ...labels] = reference.replace(/:([^,/]*)/, ',version=$1').split(',');
    const fits = this.#images.filter(
      ({ path, id, manifest }) =>
        path === reference ||
        path.endsWith(`/${reference}`) ||
        (reference.startsWith('sha512-') && id.startsWith(reference)) ||
        (manifest.name === name &&
          labels.every((label) => manifest.labels.some((own) => `${own.name}=${own.value}` === label))),
    );
    const [image, ...others] = [...new Map(fits.map((fit) => [fit.id, fit])).values()];
    if (image === undefined) {
      throw new Refusal(
        'not-found',
        `${wanted}: no image ${reference} was given; add it with --image FILE.aci`,
      );
    }
    if (others.length > 0) {
      throw new Refusal(
        'input-invalid',
        `${wanted}: several images fit ${reference}; name one by a label or its file`,
      );
    }
    return image;
  }

  /**
   * An image and all its dependencies, from the given images.
   * @throws Refusal `image-dependency-missing`, `image-dependency-invalid`
   */
  withDependencies(image: OfferedImage): readonly OfferedImage[] {
    return layersOf(resolveDependencies(image, this.#images)).toReversed();
  }

  /**
   * An upper bound for the size of an image's tree, in bytes, if devices have to render it;
   * undefined if layers suffice.
   */
  renderedBytes(image: OfferedImage): number | undefined {
    const resolved = resolveDependencies(image, this.#images);
    if (!needsMerging(resolved)) return undefined;
    return layersOf(resolved).reduce((sum, { tarSizeBytes }) => sum + tarSizeBytes, 0);
  }
}

/** A pod with the images that it uses. */
export interface ReifiedPod {
  readonly pod: DesiredPod;
  readonly images: readonly OfferedImage[];
}

/**
 * Reads a pod manifest in which an app may name its image loosely: `"image": "web.aci"`, `{"name":
 * "example.com/web"}`, or with an `id`, as in the specification.
 * @param json the text of the file
 * @throws Refusal `pod-manifest-invalid`, `not-found`, `input-invalid`; one lists the apps whose
 *   image is missing
 */
export function reifyPod(name: AcName, json: string, offered: OfferedImages): ReifiedPod {
  let draft: unknown;
  try {
    draft = JSON.parse(json);
  } catch (cause) {
    const why = (cause as SyntaxError).message;
    throw new Refusal('pod-manifest-invalid', `pod ${name}: the file is not JSON: ${why}`, { cause });
  }
  if (!isObject(draft) || !Array.isArray(draft['apps'])) {
    throw new Refusal(
      'pod-manifest-invalid',
      `pod ${name}: the file is not a pod manifest: it has no "apps"`,
    );
  }
  const images: OfferedImage[] = [];
  const refusals: Refusal[] = [];
  const apps = draft['apps'].map((app: unknown, index) => {
    if (!isObject(app)) return app; // The parser of pod manifests refuses it.
    try {
      const image = offered.find(referenceOf(app['image'], name, index), `pod ${name}, app ${index + 1}`);
      images.push(image);
      return { ...app, image: imageField(image) };
    } catch (error) {
      if (!isRefusal(error)) throw error;
      refusals.push(error);
      return app;
    }
  });
  const [first] = refusals;
  if (first !== undefined) throw new Refusal(first.code, refusals.map(({ message }) => message).join('; '));
  const reified = { acVersion: '0.8.11', acKind: 'PodManifest', ...draft, apps };
  return { pod: { name, manifest: canonical(JSON.stringify(reified)) }, images };
}

export interface SimpleLimits {
  /** Quantities such as `64Mi` and `500m`; `tasks` is a count. */
  readonly memory?: string;
  readonly cpu?: string;
  readonly tasks?: string;
}

/**
 * A pod of one app that runs the program of the image, for `--run web=web.aci`. Limits replace
 * those of the image.
 * @param volumes the pod gets those for which the image has a mount point
 * @param settings values of annotations: its network, the device's default when undefined, and the
 *   secrets that the app gets
 * @throws Refusal `pod-app-missing` when the image has no program to run, `pod-isolator-invalid`
 */
export function simplePod(
  name: AcName,
  image: OfferedImage,
  limits: SimpleLimits = {},
  volumes: readonly Volume[] = [],
  {
    network,
    secrets = [],
  }: { readonly network?: AcName | undefined; readonly secrets?: readonly string[] } = {},
): ReifiedPod {
  const { app } = image.manifest;
  if (app === undefined || app.exec.length === 0) {
    const advice = 'write a pod manifest that has an app and pass it with --pod';
    throw new Refusal(
      'pod-app-missing',
      `the image ${image.manifest.name} does not say what to run; ${advice}`,
    );
  }
  const isolators = [
    ...quantity('resource/memory', limits.memory),
    ...quantity('resource/cpu', limits.cpu),
    ...quantity('wherry/tasks', limits.tasks),
  ];
  const replaced = new Set(isolators.map((isolator) => isolator.name));
  const own = appJson(image.manifest, app);
  const manifest = {
    acVersion: '0.8.11',
    acKind: 'PodManifest',
    apps: [
      {
        name,
        image: imageField(image),
        ...(secrets.length === 0
          ? {}
          : { annotations: [{ name: 'wherry/secrets', value: secrets.join(' ') }] }),
        ...(isolators.length === 0
          ? {}
          : {
              app: {
                ...own,
                isolators: [
                  ...own.isolators.filter((isolator) => !replaced.has(isolator.name)),
                  ...isolators,
                ],
              },
            }),
      },
    ],
    ...(network === undefined ? {} : { annotations: [{ name: 'wherry/network', value: network }] }),
  };
  const mounted = volumes.filter((volume) => app.mountPoints.some((point) => point.name === volume.name));
  return { pod: { name, manifest: canonical(JSON.stringify(manifest), mounted) }, images: [image] };
}

/**
 * The images of all pods with their dependencies, each once.
 * @throws Refusal `input-invalid` when two pods have the same name, and as
 *   `OfferedImages.withDependencies`
 */
export function imagesOf(pods: readonly ReifiedPod[], offered: OfferedImages): readonly OfferedImage[] {
  const names = pods.map(({ pod }) => pod.name);
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) throw new Refusal('input-invalid', `the pod ${repeated} is given twice`);
  const images = pods.flatMap((pod) => pod.images).flatMap((image) => offered.withDependencies(image));
  return [...new Map(images.map((image) => [image.id, image])).values()];
}

function quantity(name: string, limit: string | undefined): { name: string; value: { limit: string } }[] {
  return limit === undefined ? [] : [{ name, value: { limit } }];
}

function imageField({ id, manifest }: OfferedImage): object {
  return { id, name: manifest.name, labels: manifest.labels };
}

function referenceOf(image: unknown, pod: string, index: number): string {
  if (typeof image === 'string') return image;
  if (isObject(image)) {
    const { id, name, labels } = image;
    if (typeof id === 'string') return id;
    if (typeof name === 'string') {
      const pairs = Array.isArray(labels) ? labels.filter(isObject) : [];
      return [name, ...pairs.map((label) => `${String(label['name'])}=${String(label['value'])}`)].join(',');
    }
  }
  const example = '"image": "web.aci" or "image": {"name": "example.com/web"}';
  throw new Refusal(
    'pod-manifest-invalid',
    `pod ${pod}, app ${index + 1}: it names no image; write ${example}`,
  );
}

/** The app as JSON for a pod manifest, made by the serializer of image manifests. */
function appJson(
  manifest: ImageManifest,
  app: App,
): { readonly isolators: readonly { readonly name: string }[] } {
  const bytes = serializeImageManifest({ ...manifest, app });
  const { app: json } = JSON.parse(new TextDecoder().decode(bytes)) as {
    app: { isolators?: { name: string }[] };
  };
  return { ...json, isolators: json.isolators ?? [] };
}

/** The canonical form of a manifest, so that a pod keeps its UUID however the file was written. */
function canonical(json: string, volumes: readonly Volume[] = []): Uint8Array {
  const manifest = parsePodManifest(new TextEncoder().encode(json));
  return serializePodManifest({ ...manifest, volumes: [...manifest.volumes, ...volumes] });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
