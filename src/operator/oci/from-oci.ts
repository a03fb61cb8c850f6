import { mkdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sourceEntries } from '../../image/tree/index.ts';
import { withScratch, writeAci, writeOutput, type BuiltArchive } from '../build/index.ts';
import type { ArchiveLimits } from '../../image/tar/index.ts';
import type { ImageManifest } from '../../image/appc/index.ts';
import { Refusal, refusalAt } from '../../core/refusal/index.ts';
import { imageName, manifestOf } from './app-manifest.ts';
import { wholeBlob, type BlobSource } from './blobs.ts';
import { defaultUnpackedBytes, operatorLimits } from './operator-limits.ts';
import { maxDocumentBytes, parseConfig, type ImageConfig, type Platform } from './documents.ts';
import { type PlacedLayer, putInPlace } from './layer-files.ts';
import { addLayer } from './layer-reader.ts';
import { LayerStack } from './layer-stack.ts';
import { LayerTree } from './layer-tree.ts';
import { findManifest, type FoundManifest } from './manifest-choice.ts';
import { openSource } from './open-source.ts';
import { appcArchitecture, platformOf } from './platform.ts';
import type { RegistryOptions } from './registry-options.ts';

export interface FromOciOptions {
  /** A directory, a file, each with `:TAG` if it has several images, or `docker://…`. */
  readonly source: string;
  readonly output: string;
  readonly compression: 'gzip' | 'none';
  /** The image's name; the registry and the repository by default. */
  readonly name?: string;
  readonly labels: readonly { readonly name: string; readonly value: string }[];
  readonly platform?: Platform;
  /**
   * Layers become separate images, named `<layers>/layer-…`, in files beside `output`; without it
   * they are flattened.
   */
  readonly layers?: string;
  readonly registry: RegistryOptions;
  /** What the image may unpack to, in bytes; 8 GiB by default. */
  readonly maxUnpackedBytes?: number;
  /** SOURCE_DATE_EPOCH: seconds since 1970; later times are set back to it. */
  readonly latest?: number;
  /** Called for each layer before it is read. */
  readonly onLayer: (layer: {
    readonly number: number;
    readonly of: number;
    readonly sizeBytes: number;
  }) => void;
}

export interface ConvertedImage extends Omit<BuiltArchive, 'skipped'> {
  readonly manifest: ImageManifest;
  /** The images that it depends on, lowest first. */
  readonly layers: readonly PlacedLayer[];
  /** What an App Container Image cannot express, in words. */
  readonly warnings: readonly string[];
}

/**
 * Makes an App Container Image from an OCI or Docker image: applies whiteouts, turns the config
 * into a manifest, and flattens the layers or makes an image of each. The same image gives the same
 * bytes, and the images of layers render to the flattened tree.
 *
 * @throws Refusal `not-found`, `usage`, `input-invalid`, `download-failed`, `image-arch-mismatch`,
 *   `image-manifest-invalid` and `archive-…`; nothing is written then
 */
export async function fromOci(options: FromOciOptions): Promise<ConvertedImage> {
  return await withScratch(options.output, async (scratch) => {
    const limits = operatorLimits(options.maxUnpackedBytes ?? defaultUnpackedBytes);
    const source = await openSource(options.source, options.registry, join(scratch, 'archive'), limits);
    try {
      return await convert(source, options, scratch, limits);
    } finally {
      await source.close();
    }
  });
}

async function convert(
  source: BlobSource,
  options: FromOciOptions,
  scratch: string,
  limits: ArchiveLimits,
): Promise<ConvertedImage> {
  const { output, compression, latest } = options;
  const layerDirectory = join(scratch, 'layers');
  const writing = { compression, ...(latest === undefined ? {} : { latest }) };
  const stack =
    options.layers === undefined
      ? undefined
      : new LayerStack({ prefix: options.layers, directory: layerDirectory, output, ...writing });
  await mkdir(layerDirectory);
  // Checked before anything is fetched, if the name is known already.
  const known = options.name ?? source.name;
  const given = known === undefined ? undefined : imageName(source.reference, known);
  const { found, config } = await findImage(source, options.platform, limits);
  const name = given ?? imageName(source.reference, found.name);
  const platform = platformOf(source.reference, config.platform, found.platform, options.platform);
  const arch = appcArchitecture(source.reference, platform);
  const tree = await LayerTree.create(join(scratch, 'files'), limits, latest);
  const leftOut: string[] = [];
  try {
    const { layers } = found.document;
    for (const [index, layer] of layers.entries()) {
      const number = index + 1;
      options.onLayer({ number, of: layers.length, sizeBytes: layer.sizeBytes });
      const diffId = config.diffIds[index] ?? '';
      leftOut.push(...(await addLayer(tree, source, layer, diffId, number, limits)));
      await stack?.add(tree.snapshot(), diffId, number);
    }
    const frame = {
      name,
      tag: found.tag,
      arch,
      labels: options.labels,
      passwd: (await tree.text('etc/passwd', maxAccountBytes)) ?? '',
      group: (await tree.text('etc/group', maxAccountBytes)) ?? '',
    };
    const { manifest, warnings: differences } = within(source.reference, () => manifestOf(config, frame));
    const warnings = [...leftOut, ...differences];
    // appc requires that the working directory exists; Docker makes it.
    const place = manifest.app?.workingDirectory ?? '/';
    within(`${source.reference}: its working directory`, () => tree.ensureDirectory(place));
    if (stack === undefined) {
      const entries = sourceEntries(tree.snapshot());
      const built = await writeAci({ manifest, entries, output, ...writing });
      return { ...built, manifest, layers: [], warnings };
    }
    const built = await stack.finish(tree.snapshot(), manifest, join(scratch, 'app.aci'));
    const placed = await putInPlace(stack.images, layerDirectory, dirname(output));
    await writeOutput(output, (path) => rename(join(scratch, 'app.aci'), path));
    return { ...built, layers: placed, warnings: [...warnings, ...stack.notes] };
  } finally {
    await tree.close();
  }
}

/** Names what a refusal is about. */
function within<T>(what: string, judge: () => T): T {
  try {
    return judge();
  } catch (error) {
    throw refusalAt(what, error);
  }
}

/** The largest account file that is read, in bytes. */
const maxAccountBytes = 1 << 20;

async function findImage(
  source: BlobSource,
  platform: Platform | undefined,
  limits: ArchiveLimits,
): Promise<{ readonly found: FoundManifest; readonly config: ImageConfig }> {
  const found = await findManifest(source, platform, limits);
  const { config: blob, layers } = found.document;
  const config = parseConfig(await wholeBlob(source, blob, maxDocumentBytes), `${source.reference}: config`);
  if (config.diffIds.length !== layers.length) {
    throw new Refusal(
      'input-invalid',
      `${source.reference}: its config names ${config.diffIds.length} layers, its manifest ${layers.length}`,
    );
  }
  return { found, config };
}
