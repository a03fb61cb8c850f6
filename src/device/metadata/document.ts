import type { ImageManifest, NameValue, PodManifest } from '../../image/appc/index.ts';

/** The metadata of a pod. */
export interface PodMetadata {
  /** The reified manifest, as it was signed. */
  readonly manifest: string;
  readonly annotations: readonly NameValue[];
  readonly apps: Readonly<Record<string, AppMetadata>>;
}

interface AppMetadata {
  readonly imageId: string;
  /** The object that holds the image's manifest: the image itself, or the tree rendered from it. */
  readonly object: string;
  /** Those of the image, overridden by those of the pod for the app. */
  readonly annotations: readonly NameValue[];
}

/** The document of a pod, for `<metadata>/<uuid>.json`. */
export function metadataDocument(
  manifestBytes: Uint8Array,
  manifest: PodManifest,
  images: ReadonlyMap<string, { readonly manifest: ImageManifest; readonly layers: readonly string[] }>,
): string {
  const apps = manifest.apps.map((app) => {
    const image = images.get(app.image.id);
    const about: AppMetadata = {
      imageId: app.image.id,
      object: image?.layers[0] ?? app.image.id,
      annotations: merged(image?.manifest.annotations ?? [], app.annotations),
    };
    return [app.name, about] as const;
  });
  const document: PodMetadata = {
    manifest: Buffer.from(manifestBytes).toString('utf8'),
    annotations: manifest.annotations,
    apps: Object.fromEntries(apps),
  };
  return JSON.stringify(document);
}

/** Reads a document that wherryd wrote. */
export function readMetadata(bytes: Uint8Array): PodMetadata {
  return JSON.parse(Buffer.from(bytes).toString('utf8')) as PodMetadata;
}

function merged(image: readonly NameValue[], app: readonly NameValue[]): readonly NameValue[] {
  const names = new Set(app.map(({ name }) => name));
  return [...image.filter(({ name }) => !names.has(name)), ...app];
}
