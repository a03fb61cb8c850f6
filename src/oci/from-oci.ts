import { createHash } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { defaultArchiveLimits, quoted, walkTar } from '../aci/index.ts';
import { arrange, writeAci, type BuiltArchive } from '../aci/builder.ts';
import { isAcIdentifier, isTimestamp, parseImageManifest, type ImageManifest } from '../appc/index.ts';
import { isRefusal, Refusal } from '../refusal/index.ts';
import { checkedBlob, wholeBlob, type BlobSource } from './blobs.ts';
import {
  maxDocumentBytes,
  parseConfig,
  parseDocument,
  type Descriptor,
  type Document,
  type ImageConfig,
  type Platform,
} from './documents.ts';
import { LayerTree } from './layer-tree.ts';
import { openArchive, openLayout } from './layout.ts';
import { appcArchitecture, choosePlatform } from './platform.ts';
import { openRegistry, parseRegistryReference, type RegistryOptions } from './registry.ts';
import { runtimeOf } from './runtime.ts';

export interface FromOciOptions {
  /** A directory, a file, each with `:TAG` if it has several images, or `docker://…`. */
  readonly source: string;
  readonly output: string;
  readonly compression: 'gzip' | 'none';
  /** The image's name; the registry and the repository by default. */
  readonly name?: string;
  readonly labels: readonly { readonly name: string; readonly value: string }[];
  readonly platform?: Platform;
  readonly registry: RegistryOptions;
  /** SOURCE_DATE_EPOCH: seconds since 1970; later times are set back to it. */
  readonly latest?: number;
  /** Told of each layer before it is read. */
  readonly onLayer: (layer: {
    readonly number: number;
    readonly of: number;
    readonly sizeBytes: number;
  }) => void;
}

export interface ConvertedImage extends Omit<BuiltArchive, 'skipped'> {
  readonly manifest: ImageManifest;
  /** What has no place in an App Container Image, in words. */
  readonly warnings: readonly string[];
}

/**
 * Makes an App Container Image of an OCI or Docker image: layers flattened, whiteouts applied, the config as manifest. The same
 * image gives the same bytes.
 *
 * @throws Refusal `not-found`, `usage`, `input-invalid`, `download-failed`, `image-arch-mismatch`, `image-manifest-invalid`
 *   and `archive-…`; nothing is written then
 */
export async function fromOci(options: FromOciOptions): Promise<ConvertedImage> {
  const scratch = await mkdtemp(join(dirname(resolve(options.output)), '.wherry-oci-'));
  try {
    const source = await openSource(options, join(scratch, 'archive'));
    try {
      return await convert(source, options, scratch);
    } finally {
      await source.close();
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function openSource({ source, registry }: FromOciOptions, scratch: string): Promise<BlobSource> {
  if (source.startsWith('docker://')) return openRegistry(parseRegistryReference(source), registry);
  const [path, tag] = await pathAndTag(source);
  const status = await stat(path).catch((cause: unknown) => {
    throw new Refusal('not-found', `there is no ${path}; a registry is named as docker://HOST/NAME:TAG`, {
      cause,
    });
  });
  return status.isDirectory() ? await openLayout(path, tag) : await openArchive(path, scratch, tag);
}

/** `images.tar:app:1.0` → the file that is there, and the rest. */
async function pathAndTag(source: string): Promise<[string, string | undefined]> {
  for (let at = source.length; at > 0; at = source.lastIndexOf(':', at - 1)) {
    const path = source.slice(0, at);
    const isThere = await stat(path).then(
      () => true,
      () => false,
    );
    if (isThere) return [path, at === source.length ? undefined : source.slice(at + 1)];
  }
  return [source, undefined];
}

async function convert(
  source: BlobSource,
  options: FromOciOptions,
  scratch: string,
): Promise<ConvertedImage> {
  const found = await findManifest(source, options.platform);
  const { config: configBlob, layers } = found.document;
  const config = parseConfig(
    await wholeBlob(source, configBlob, maxDocumentBytes),
    `${source.reference}: config`,
  );
  if (config.diffIds.length !== layers.length) {
    throw new Refusal(
      'input-invalid',
      `${source.reference}: its config names ${config.diffIds.length} layers, its manifest ${layers.length}`,
    );
  }
  const arch = appcArchitecture(config.platform);
  const tree = await LayerTree.create(join(scratch, 'files'), defaultArchiveLimits);
  try {
    for (const [index, layer] of layers.entries()) {
      options.onLayer({ number: index + 1, of: layers.length, sizeBytes: layer.sizeBytes });
      await addLayer(tree, source, layer, config.diffIds[index] ?? '', index + 1);
    }
    const passwd = (await tree.text('etc/passwd', 1 << 20)) ?? '';
    const { manifest, warnings } = manifestOf(config, arch, passwd, source, found.tag, options);
    // appc wants the working directory to be there; Docker makes it.
    if (manifest.app !== undefined) tree.ensureDirectory(manifest.app.workingDirectory);
    const built = await writeAci({
      manifest,
      entries: arrange(tree.entries(options.latest)),
      output: options.output,
      compression: options.compression,
      ...(options.latest === undefined ? {} : { latest: options.latest }),
    });
    return { ...built, manifest, warnings };
  } finally {
    await tree.close();
  }
}

interface Found {
  readonly document: Extract<Document, { kind: 'manifest' }>;
  readonly tag?: string;
}

/** From the root through indexes to one manifest; an index of an index is allowed, an endless one is not. */
async function findManifest(source: BlobSource, platform: Platform | undefined): Promise<Found> {
  const { bytes, what } = await source.root();
  let document = parseDocument(bytes, what);
  let tag = source.tag;
  for (let depth = 0; document.kind === 'index'; depth++) {
    if (depth === 4)
      throw new Refusal('input-invalid', `${source.reference}: its indexes are nested too deep`);
    const chosen = chooseManifest(document.manifests, depth === 0 ? source.tag : undefined, platform);
    tag ??= chosen.annotations[refName];
    document = parseDocument(
      await wholeBlob(source, chosen, maxDocumentBytes),
      `${source.reference}: document ${chosen.digest.slice(0, 19)}`,
    );
  }
  return { document, ...(tag === undefined ? {} : { tag }) };
}

/** Annotation of image-layout.md: the tag of a manifest in an index. */
const refName = 'org.opencontainers.image.ref.name';

function chooseManifest(
  manifests: readonly Descriptor[],
  tag: string | undefined,
  platform: Platform | undefined,
): Descriptor {
  const named = manifests.filter(({ annotations }) => annotations[refName] !== undefined);
  const tags = named.map(({ annotations }) => quoted(annotations[refName] ?? '')).join(', ');
  if (tag !== undefined && named.length > 0) {
    const fits = named.filter(({ annotations }) => annotations[refName] === tag);
    if (fits.length === 0) throw new Refusal('not-found', `there is no image ${tag}, but: ${tags}`);
    return choosePlatform(fits, platform);
  }
  if (new Set(named.map(({ annotations }) => annotations[refName])).size > 1) {
    throw new Refusal('usage', `there are several images (${tags}); choose one with SOURCE:TAG`);
  }
  return choosePlatform(manifests, platform);
}

/** One layer: its digest and size are those of its descriptor, its tar the one that the config names. */
async function addLayer(
  tree: LayerTree,
  source: BlobSource,
  layer: Descriptor,
  diffId: string,
  number: number,
): Promise<void> {
  const [algorithm = '', expected = ''] = diffId.split(':');
  const hash = createHash(algorithm);
  tree.nextLayer();
  const blob = checkedBlob(source, layer);
  try {
    await walkTar(blob, defaultArchiveLimits, {
      needsEndMarker: false,
      onTar: (chunk) => hash.update(chunk),
      visit: (entry, body) => tree.add(entry, body),
    });
    // A tar may end before the blob does, as far as its reader is concerned.
    while ((await blob.next()).done !== true);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    const message = error.message.startsWith(source.reference)
      ? error.message
      : `${source.reference}, layer ${number}: ${error.message}`;
    throw new Refusal(error.code, message, { cause: error });
  }
  if (hash.digest('hex') !== expected) {
    throw new Refusal(
      'input-invalid',
      `${source.reference}: layer ${number} is not the one that its config names`,
    );
  }
}

function manifestOf(
  config: ImageConfig,
  arch: string,
  passwd: string,
  source: BlobSource,
  tag: string | undefined,
  options: FromOciOptions,
): { manifest: ImageManifest; warnings: readonly string[] } {
  const name = options.name ?? source.name;
  if (name === undefined || !isAcIdentifier(name)) {
    const problem =
      name === undefined
        ? 'does not say what the image is called'
        : `calls the image ${JSON.stringify(name)}, which is no AC Identifier`;
    throw new Refusal('usage', `${source.reference} ${problem}; give a --name such as example.com/app`);
  }
  const { app, annotations, warnings } = runtimeOf(config, passwd);
  const own = new Set(options.labels.map((label) => label.name));
  const labels = [
    ...(tag === undefined ? [] : [{ name: 'version', value: tag }]),
    { name: 'os', value: 'linux' },
    { name: 'arch', value: arch },
  ].filter((label) => !own.has(label.name));
  const manifest = parseImageManifest(
    Buffer.from(
      JSON.stringify({
        acKind: 'ImageManifest',
        acVersion: '0.8.11',
        name,
        labels: [...labels, ...options.labels],
        ...(app === undefined ? {} : { app }),
        annotations: annotations.filter((one) => one.name !== 'created' || isTimestamp(one.value)),
      }),
    ),
  );
  return { manifest, warnings };
}
