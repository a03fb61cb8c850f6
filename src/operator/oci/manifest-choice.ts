import { type ArchiveLimits, quoted } from '../../image/tar/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { wholeBlob, type BlobSource } from './blobs.ts';
import {
  maxDocumentBytes,
  parseDocument,
  type Descriptor,
  type Document,
  type Platform,
} from './documents.ts';
import { chooseByName, isWhole, splitName } from './image-names.ts';
import { choosePlatform } from './platform.ts';

export type ManifestDocument = Extract<Document, { kind: 'manifest' }>;

/** The depth of nested indexes; tools make at most an index of indexes. */
const maxIndexDepth = 4;
/** Docker allows 127 layers, the limit of its overlays. */
const maxLayers = 512;

export interface FoundManifest {
  readonly document: ManifestDocument;
  /** Its name in the index. */
  readonly name?: string;
  readonly tag?: string;
  /** Its platform in the index. */
  readonly platform?: Platform;
}

/**
 * Finds one manifest from the root through indexes; an index of indexes is allowed, an endless
 * chain is not.
 */
export async function findManifest(
  source: BlobSource,
  platform: Platform | undefined,
  limits: ArchiveLimits,
): Promise<FoundManifest> {
  const { bytes, what } = await source.root();
  let document = parseDocument(bytes, what);
  let called: readonly string[] = [];
  let said: Platform | undefined;
  for (let depth = 0; document.kind === 'index'; depth++) {
    if (depth === maxIndexDepth) {
      throw new Refusal(
        'input-invalid',
        `${source.reference}: its indexes lie more than ${maxIndexDepth} deep in one another`,
      );
    }
    const chosen = chooseManifest(
      document.manifests,
      depth === 0 ? source.wanted : undefined,
      platform,
      source.reference,
    );
    if (depth === 0) called = namesOf(chosen);
    said = chosen.platform ?? said;
    document = parseDocument(
      await wholeBlob(source, chosen, maxDocumentBytes),
      `${source.reference}: document ${chosen.digest.slice(0, 19)}`,
    );
  }
  checkKind(document, source.reference, limits);
  const [name, tag] = nameAndTag(source.tag, called, source.wanted);
  return {
    document,
    ...(name === undefined ? {} : { name }),
    ...(tag === undefined ? {} : { tag }),
    ...(said === undefined ? {} : { platform: said }),
  };
}

/** The source's own tag, else the image's name in the index, else the operator's name for it. */
function nameAndTag(
  tag: string | undefined,
  called: readonly string[],
  wanted: string | undefined,
): readonly [string | undefined, string | undefined] {
  if (tag !== undefined) return [undefined, tag];
  const whole = called.find(isWhole);
  if (whole !== undefined) return splitName(whole);
  const plain = called[0] ?? wanted;
  return [undefined, plain === undefined || isWhole(plain) ? undefined : plain];
}

/** Annotation of image-layout.md: the tag of a manifest in an index, or its whole name. */
const refName = 'org.opencontainers.image.ref.name';
/** Whole names, as containerd and Docker from 25 on write them beside a tag. */
const containerdName = 'io.containerd.image.name';

function namesOf({ annotations }: Descriptor): readonly string[] {
  return [annotations[containerdName], annotations[refName]].filter((name) => name !== undefined);
}

function chooseManifest(
  manifests: readonly Descriptor[],
  wanted: string | undefined,
  platform: Platform | undefined,
  source: string,
): Descriptor {
  const images = manifests.filter(isImage).map((one) => ({ ...one, names: namesOf(one) }));
  if (images.length === 0) {
    const count = manifests.length === 0 ? 'is empty' : 'names only attestations and other attachments';
    throw new Refusal('not-found', `${source}: there is no image; its index ${count}`);
  }
  const named = images.filter(({ names }) => names.length > 0);
  // Documents without a name beside named images belong to these: signatures and attachments of
  // tools.
  const isDigest = /^sha(256|512):/.test(wanted ?? '');
  const among = named.length > 0 && !isDigest ? named : images;
  const isAsked = named.length > 0 || isDigest;
  const chosen =
    named.length > 0 || isAsked ? chooseByName(among, isAsked ? wanted : undefined, source) : images;
  return choosePlatform(chosen, platform, source);
}

/**
 * Documents of other kinds have an artifact type; attestations of BuildKit have the platform
 * "unknown".
 */
function isImage({ artifactType, platform }: Descriptor): boolean {
  return (artifactType === undefined || configType.test(artifactType)) && platform?.os !== 'unknown';
}

const configType = /^(|application\/vnd\.(oci\.image\.config\.v1\+json|docker\.container\.image\.v1\+json))$/;
/**
 * Encrypted layers. All others are identified by their bytes and checked by the digest in the
 * config.
 */
const encryptedType = /\+encrypted$/;

/**
 * Refuses charts, signatures and encrypted layers, which a registry also holds, and layers that are
 * too large to download.
 */
function checkKind({ config, layers }: ManifestDocument, reference: string, limits: ArchiveLimits): void {
  const wrong = (at: string, problem: string) =>
    new Refusal('input-invalid', `${reference}: ${at} ${problem}`);
  if (!configType.test(config.mediaType)) {
    throw wrong('/config/mediaType', `is ${quoted(config.mediaType)}, not the config of an image`);
  }
  if (layers.length > maxLayers)
    throw wrong('/layers', `has ${layers.length} members, at most ${maxLayers} are allowed`);
  for (const [index, { mediaType, sizeBytes }] of layers.entries()) {
    if (encryptedType.test(mediaType)) {
      throw wrong(`/layers/${index}/mediaType`, `is ${quoted(mediaType)}: the layer is encrypted`);
    }
    if (sizeBytes > limits.maxTarBytes) {
      throw new Refusal(
        'archive-too-large',
        `${reference}: /layers/${index}/size is ${sizeBytes}, at most ${limits.maxTarBytes} bytes are allowed; allow more with --max-unpacked`,
      );
    }
  }
}
