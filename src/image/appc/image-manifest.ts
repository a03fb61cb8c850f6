import { annotations } from './annotations.ts';
import { app, appDraft, nameValueDraft, unlessEmpty } from './app.ts';
import { refuseFaults, unexpected } from './fault.ts';
import { absolutePath, Fields, present, textThat, type Read } from './fields.ts';
import { acIdentifier, imageId } from './identifiers.ts';
import { jsonText } from './json-text.ts';
import { parseJson, type JsonLimits } from './json.ts';
import { labels } from './labels.ts';
import type { Dependency, ImageManifest } from './types.ts';
import { acVersion } from './version.ts';

/** A path whitelist may name every file of an image, so the bound on bytes is wide. */
export const imageManifestLimits: JsonLimits = { maxBytes: 4 << 20, maxDepth: 32, maxValues: 200_000 };

/**
 * The image manifest in `bytes` (aci.md#image-manifest-schema). They may be hostile: a key that is
 * trusted for the image's name, or none, has signed the archive.
 * @throws Refusal image-manifest-invalid; the message has the JSON pointer of the value and what
 *   was expected
 */
export function parseImageManifest(bytes: Uint8Array): ImageManifest {
  return refuseFaults('image-manifest-invalid', 'image manifest', () =>
    imageManifest(parseJson(bytes, imageManifestLimits), ''),
  );
}

/** `manifest` as the bytes of a `manifest` file: always the same for the same value. */
export function serializeImageManifest(manifest: ImageManifest): Uint8Array {
  return new TextEncoder().encode(
    jsonText({
      acKind: 'ImageManifest',
      acVersion: manifest.acVersion,
      name: manifest.name,
      labels: unlessEmpty(manifest.labels.map(nameValueDraft)),
      app: manifest.app === undefined ? undefined : appDraft(manifest.app),
      dependencies: unlessEmpty(
        manifest.dependencies.map((dependency) => ({
          imageName: dependency.imageName,
          imageID: dependency.imageId,
          labels: unlessEmpty(dependency.labels.map(nameValueDraft)),
          size: dependency.sizeBytes,
        })),
      ),
      pathWhitelist: unlessEmpty(manifest.pathWhitelist),
      annotations: unlessEmpty(manifest.annotations.map(nameValueDraft)),
    }),
  );
}

const imageManifest: Read<ImageManifest> = (value, at) => {
  const fields = new Fields(value, at, [
    'acKind',
    'acVersion',
    'name',
    'labels',
    'app',
    'dependencies',
    'pathWhitelist',
    'annotations',
  ]);
  fields.required('acKind', acKind('ImageManifest'));
  return {
    acVersion: fields.required('acVersion', acVersion),
    name: fields.required('name', acIdentifier),
    labels: fields.optional('labels', labels) ?? [],
    ...present('app', fields.optional('app', app)),
    dependencies: fields.list('dependencies', dependency),
    pathWhitelist: fields.list('pathWhitelist', absolutePath),
    annotations: fields.optional('annotations', annotations) ?? [],
  };
};

const dependency: Read<Dependency> = (value, at) => {
  const fields = new Fields(value, at, ['imageName', 'imageID', 'labels', 'size']);
  return {
    imageName: fields.required('imageName', acIdentifier),
    ...present('imageId', fields.optional('imageID', imageId)),
    labels: fields.optional('labels', labels) ?? [],
    ...present('sizeBytes', fields.optional('size', byteCount)),
  };
};

const byteCount: Read<bigint> = (value, at) => {
  const isInteger = typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value));
  const size = isInteger ? BigInt(value) : -1n;
  if (size < 0n || size >= 1n << 63n) throw unexpected(at, 'a number of bytes', value);
  return size;
};

/** `acKind` must be the kind of document that is read (types.md#ac-kind-type). */
export function acKind<K extends string>(kind: K): Read<K> {
  return textThat((text): text is K => text === kind, `"${kind}"`);
}
