import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { defaultArchiveLimits, quoted } from '../../image/tar/index.ts';
import { type BuiltArchive, writeAci } from '../build/index.ts';
import { type Directory, sourceEntries } from '../../image/tree/index.ts';
import {
  type Dependency,
  dependencyLimits,
  type ImageManifest,
  isAcIdentifier,
  parseImageManifest,
  serializeImageManifest,
} from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { pathsOf, treeDelta } from './tree-delta.ts';

/** An image that was made of one layer. */
export interface LayerImage extends Omit<BuiltArchive, 'skipped'> {
  readonly manifest: ImageManifest;
  /** Name of its file, without a directory. */
  readonly file: string;
}

export interface StackOptions {
  /** Layer images are named `<prefix>/layer-<chain ID>`. */
  readonly prefix: string;
  /** Where their files are written. */
  readonly directory: string;
  /** Where the app's own image will be; those of the layers are put beside it. */
  readonly output: string;
  readonly compression: 'gzip' | 'none';
  readonly latest?: number;
}

/** Images that may lie below the app's own (`dependencyLimits.depth` counts that one too). */
const maxLayerImages = dependencyLimits.depth - 1;

/**
 * Images for the layers of an OCI image, each over the one below. A layer's image does not depend
 * on the image in which it was found: its name is the chain ID of OCI (image-spec, config.md: the
 * digest of all diff IDs up to its own), its content the result of that layer and those below. So
 * images that begin with the same layers share identical files. The dependency has no `size`: the
 * size of a compressed file differs between versions of zlib, and so would the ID of the image
 * above.
 */
export class LayerStack {
  readonly #options: StackOptions;
  readonly #images: LayerImage[] = [];
  readonly #notes: string[] = [];
  #below: Directory | undefined;
  #chain = '';
  /**
   * The first layer that is part of the app's own image, because the number of images is limited.
   */
  #overflow: number | undefined;

  /** @throws Refusal `usage` for a prefix that is not valid in an image's name */
  constructor(options: StackOptions) {
    if (!isAcIdentifier(`${options.prefix}/layer-0`)) {
      throw new Refusal(
        'usage',
        `--layers takes the prefix of the names of layers, such as example.com/layers, not ${JSON.stringify(options.prefix)}`,
      );
    }
    this.#options = options;
  }

  /** The images, lowest first; each depends on the one below. */
  get images(): readonly LayerImage[] {
    return this.#images;
  }

  /** Notes for the operator. */
  get notes(): readonly string[] {
    return this.#notes;
  }

  /**
   * Writes the image of the next layer, unless the layer changes nothing.
   * @param after the tree of this layer and those below
   * @param number of the layer, from 1
   */
  async add(after: Directory, diffId: string, number: number): Promise<void> {
    if (this.#overflow !== undefined || treeDelta(this.#below, after).isEmpty) return;
    if (this.#images.length === maxLayerImages) {
      this.#overflow = number;
      this.#notes.push(
        `at most ${maxLayerImages} images can lie below an app: its layers from ${number} on are in its own image`,
      );
      return;
    }
    this.#chain = chainId(this.#chain, diffId);
    const hex = this.#chain.slice(this.#chain.indexOf(':') + 1);
    const bare = parseImageManifest(
      Buffer.from(
        JSON.stringify({
          acKind: 'ImageManifest',
          acVersion: '0.8.11',
          name: `${this.#options.prefix}/layer-${hex}`,
          // No "arch": images for several may begin with the same files.
          labels: [{ name: 'os', value: 'linux' }],
        }),
      ),
    );
    const file = `layer-${hex}.aci`;
    const { manifest, tree } = this.#over(after, bare, `layer ${number}`);
    const built = await this.#write(
      { manifest, tree, called: join(dirname(this.#options.output), file) },
      join(this.#options.directory, file),
    );
    if (manifest.dependencies.length === 0) this.#images.length = 0;
    this.#images.push({ ...built, manifest, file });
    this.#below = after;
  }

  /** Writes the app's own image over the layers. */
  async finish(
    after: Directory,
    manifest: ImageManifest,
    output: string,
  ): Promise<Omit<BuiltArchive, 'skipped'> & { readonly manifest: ImageManifest }> {
    const what = this.#overflow === undefined ? 'the image' : `layer ${this.#overflow} or one above`;
    const own = this.#over(after, manifest, what);
    if (own.manifest.dependencies.length === 0) this.#images.length = 0;
    const written = await this.#write({ ...own, called: this.#options.output }, output);
    return { ...written, manifest: own.manifest };
  }

  /**
   * The manifest and tree that turn the topmost image into `after`. App Container Images have no
   * whiteouts: to remove a path, an image lists all paths that stay (aci.md, pathWhitelist). If the
   * list is too long for a manifest, or empty (which would mean no list), the image contains all
   * files and has no dependency.
   */
  #over(
    after: Directory,
    manifest: ImageManifest,
    what: string,
  ): { readonly manifest: ImageManifest; readonly tree: Directory } {
    const top = this.#images.at(-1);
    if (top === undefined) return { manifest, tree: after };
    const { tree, removed } = treeDelta(this.#below, after);
    const over = { ...manifest, dependencies: [dependencyOn(top)] };
    if (removed.length === 0) return { manifest: over, tree };
    const some = `${what} removes ${removed.length === 1 ? '' : `${removed.length} paths such as `}${quoted(removed[0] ?? '')}`;
    const pathWhitelist = pathsOf(after);
    const filtered = { ...over, pathWhitelist };
    const isTooLong = serializeImageManifest(filtered).length > defaultArchiveLimits.maxManifestBytes;
    if (isTooLong || pathWhitelist.length === 0) {
      this.#notes.push(
        `${some}, and what stays is no list for a manifest: its image holds all files of the layers below too, and shares none`,
      );
      return { manifest, tree: after };
    }
    this.#notes.push(
      `${some}: its image has a path whitelist, for which all files must be merged into one image, on a device or by "wherry image render"`,
    );
    return { manifest: filtered, tree };
  }

  async #write(
    { manifest, tree, called }: { manifest: ImageManifest; tree: Directory; called: string },
    output: string,
  ): Promise<Omit<BuiltArchive, 'skipped'>> {
    const { compression, latest } = this.#options;
    return await writeAci({
      manifest,
      entries: sourceEntries(tree),
      ...{ output, called, compression },
      ...(latest === undefined ? {} : { latest }),
    });
  }
}

function dependencyOn({ manifest: { name, labels }, imageId }: LayerImage): Dependency {
  return { imageName: name, imageId, labels };
}

/** Of a layer over a chain of others; '' for none (image-spec, config.md#layer-chainid). */
function chainId(below: string, diffId: string): string {
  return below === '' ? diffId : `sha256:${createHash('sha256').update(`${below} ${diffId}`).digest('hex')}`;
}
