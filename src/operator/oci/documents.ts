import { parseJson, SchemaFault, type JsonValue } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';

/**
 * Bytes of an index, a manifest or a config (the distribution specification bounds manifests to 4
 * MiB).
 */
export const maxDocumentBytes = 4 << 20;

/** One reference from a document to a blob (image-spec, descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  /** `sha256:` and 64 lower-case hex digits, or `sha512:` and 128. */
  readonly digest: string;
  readonly sizeBytes: number;
  readonly platform?: Platform;
  /** Of a document that is not an image. */
  readonly artifactType?: string;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string;
}

/** An image manifest or an index of several (image-spec, manifest.md and image-index.md). */
export type Document =
  | { readonly kind: 'index'; readonly manifests: readonly Descriptor[] }
  | { readonly kind: 'manifest'; readonly config: Descriptor; readonly layers: readonly Descriptor[] };

/** What an image is to run, and its layers (image-spec, config.md). */
export interface ImageConfig {
  readonly platform: Platform;
  readonly created?: string;
  readonly author?: string;
  readonly user: string;
  readonly exposedPorts: readonly string[];
  readonly environment: readonly string[];
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly volumes: readonly string[];
  readonly workingDirectory: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly stopSignal?: string;
  /** Docker's extension, unchanged. */
  readonly healthcheck?: JsonValue;
  /** Digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly string[];
}

/** One entry of `manifest.json` in an archive that `docker save` wrote. */
export interface SavedImage {
  readonly config: string;
  readonly repoTags: readonly string[];
  readonly layers: readonly string[];
}

/** @throws Refusal `input-invalid` with the pointer of the invalid field */
export function parseDocument(bytes: Uint8Array, what: string): Document {
  return reading(what, () => {
    const document = objectAt(parsed(bytes), '');
    if (document['schemaVersion'] !== 2) throw new SchemaFault('/schemaVersion', 'expected 2');
    if (document['manifests'] !== undefined) {
      return { kind: 'index', manifests: listAt(document['manifests'] ?? [], '/manifests', descriptor) };
    }
    return {
      kind: 'manifest',
      config: descriptor(document['config'], '/config'),
      layers: listAt(document['layers'], '/layers', descriptor),
    };
  });
}

/** @throws Refusal `input-invalid` */
export function parseConfig(bytes: Uint8Array, what: string): ImageConfig {
  return reading(what, () => {
    const document = objectAt(parsed(bytes), '');
    const config = objectAt(document['config'] ?? {}, '/config');
    const rootfs = objectAt(document['rootfs'] ?? {}, '/rootfs');
    const created = textAt(document['created'] ?? '', '/created');
    const author = textAt(document['author'] ?? '', '/author');
    const stopSignal = textAt(config['StopSignal'] ?? '', '/config/StopSignal');
    const healthcheck = config['Healthcheck'] ?? undefined;
    const texts = (key: string): readonly string[] => listAt(config[key] ?? [], `/config/${key}`, textAt);
    return {
      platform: platform(document, ''),
      ...(created === '' ? {} : { created }),
      ...(author === '' ? {} : { author }),
      user: userAt(config['User'] ?? '', '/config/User'),
      exposedPorts: Object.keys(objectAt(config['ExposedPorts'] ?? {}, '/config/ExposedPorts')),
      environment: texts('Env'),
      entrypoint: texts('Entrypoint'),
      command: texts('Cmd'),
      volumes: Object.keys(objectAt(config['Volumes'] ?? {}, '/config/Volumes')),
      workingDirectory: textAt(config['WorkingDir'] ?? '', '/config/WorkingDir'),
      labels: textMap(config['Labels'] ?? {}, '/config/Labels'),
      ...(stopSignal === '' ? {} : { stopSignal }),
      ...(healthcheck === undefined ? {} : { healthcheck }),
      diffIds: listAt(rootfs['diff_ids'] ?? [], '/rootfs/diff_ids', digestAt),
    };
  });
}

/** @throws Refusal `input-invalid` */
export function parseSavedImages(bytes: Uint8Array): readonly SavedImage[] {
  return reading('manifest.json', () =>
    listAt(parsed(bytes), '', (value, at) => {
      const image = objectAt(value, at);
      return {
        config: textAt(image['Config'], `${at}/Config`),
        repoTags: listAt(image['RepoTags'] ?? [], `${at}/RepoTags`, textAt),
        layers: listAt(image['Layers'], `${at}/Layers`, textAt),
      };
    }),
  );
}

export function isDigest(text: string): boolean {
  return /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(text);
}

function parsed(bytes: Uint8Array): JsonValue {
  return parseJson(bytes, { maxBytes: maxDocumentBytes, maxDepth: 32, maxValues: 200_000 });
}

function reading<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SchemaFault)) throw error;
    throw new Refusal('input-invalid', `${what}: ${error.message}`, { cause: error });
  }
}

function descriptor(value: JsonValue | undefined, at: string): Descriptor {
  const fields = objectAt(value, at);
  const sizeBytes = fields['size'];
  if (typeof sizeBytes !== 'number' || !Number.isSafeInteger(sizeBytes) || sizeBytes < 0) {
    throw new SchemaFault(`${at}/size`, 'expected a number of bytes');
  }
  return {
    mediaType: textAt(fields['mediaType'] ?? '', `${at}/mediaType`),
    digest: digestAt(fields['digest'], `${at}/digest`),
    sizeBytes,
    ...(isObject(fields['platform']) ? { platform: platform(fields['platform'], `${at}/platform`) } : {}),
    ...(typeof fields['artifactType'] === 'string' ? { artifactType: fields['artifactType'] } : {}),
    annotations: textMap(fields['annotations'] ?? {}, `${at}/annotations`),
  };
}

function platform(fields: Readonly<Record<string, JsonValue>>, at: string): Platform {
  return {
    os: textAt(fields['os'] ?? '', `${at}/os`),
    architecture: textAt(fields['architecture'] ?? '', `${at}/architecture`),
    variant: textAt(fields['variant'] ?? '', `${at}/variant`),
  };
}

function digestAt(value: JsonValue | undefined, at: string): string {
  const text = textAt(value, at);
  if (!isDigest(text)) throw new SchemaFault(at, 'expected "sha256:" and 64 hex digits');
  return text;
}

/** `USER`, `USER:` or `USER:GROUP`, each by name or number. */
function userAt(value: JsonValue | undefined, at: string): string {
  const text = textAt(value, at);
  if (!/^[^:]*(:[^:]*)?$/.test(text)) throw new SchemaFault(at, 'expected USER or USER:GROUP');
  return text;
}

function textAt(value: JsonValue | undefined, at: string): string {
  if (typeof value !== 'string') throw new SchemaFault(at, 'expected a string');
  return value;
}

function listAt<T>(
  value: JsonValue | undefined,
  at: string,
  read: (value: JsonValue, at: string) => T,
): readonly T[] {
  if (!Array.isArray(value)) throw new SchemaFault(at, 'expected a list');
  return (value as readonly JsonValue[]).map((member, index) => read(member, `${at}/${index}`));
}

function objectAt(value: JsonValue | undefined, at: string): Readonly<Record<string, JsonValue>> {
  if (!isObject(value)) throw new SchemaFault(at, 'expected an object');
  return value;
}

function textMap(value: JsonValue, at: string): Readonly<Record<string, string>> {
  const map = objectAt(value, at);
  return Object.fromEntries(Object.entries(map).map(([key, text]) => [key, textAt(text, `${at}/${key}`)]));
}

function isObject(value: JsonValue | undefined): value is Readonly<Record<string, JsonValue>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
