import { defaultArchiveLimits, quoted } from '../../image/tar/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { wholeBlob, type BlobSource } from './blobs.ts';
import {
  maxDocumentBytes,
  parseDocument,
  type Descriptor,
  type Document,
  type Platform,
} from './documents.ts';
import { choosePlatform } from './platform.ts';

export type ManifestDocument = Extract<Document, { kind: 'manifest' }>;

/** Indexes below one another; one that lists indexes of its own is all that tools make. */
const maxIndexDepth = 4;
/** Docker stops at 127 layers, since its overlays do. */
const maxLayers = 512;

export interface FoundManifest {
  readonly document: ManifestDocument;
  readonly tag?: string;
  /** What its index says that it is for. */
  readonly platform?: Platform;
}

/** From the root through indexes to one manifest; an index of an index is allowed, an endless one is not. */
export async function findManifest(
  source: BlobSource,
  platform: Platform | undefined,
): Promise<FoundManifest> {
  const { bytes, what } = await source.root();
  let document = parseDocument(bytes, what);
  let tag = source.tag;
  let said: Platform | undefined;
  for (let depth = 0; document.kind === 'index'; depth++) {
    if (depth === maxIndexDepth) {
      throw new Refusal(
        'input-invalid',
        `${source.reference}: its indexes lie more than ${maxIndexDepth} deep in one another`,
      );
    }
    const chosen = chooseManifest(document.manifests, depth === 0 ? source.tag : undefined, platform);
    tag ??= chosen.annotations[refName];
    said = chosen.platform ?? said;
    document = parseDocument(
      await wholeBlob(source, chosen, maxDocumentBytes),
      `${source.reference}: document ${chosen.digest.slice(0, 19)}`,
    );
  }
  checkKind(document, source.reference);
  return {
    document,
    ...(tag === undefined ? {} : { tag }),
    ...(said === undefined ? {} : { platform: said }),
  };
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

const configType = /^(|application\/vnd\.(oci\.image\.config\.v1\+json|docker\.container\.image\.v1\+json))$/;
const layerType =
  /^(|application\/vnd\.(oci\.image\.layer\.(nondistributable\.)?v1\.tar(\+gzip|\+zstd)?|docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.gzip|\.zstd)?))$/;

/** A registry also holds charts, signatures and layers that only a key opens; and sizes that nobody should begin to download. */
function checkKind({ config, layers }: ManifestDocument, reference: string): void {
  const wrong = (at: string, problem: string) =>
    new Refusal('input-invalid', `${reference}: ${at} ${problem}`);
  const kind = (at: string, mediaType: string, expected: RegExp, what: string) => {
    if (!expected.test(mediaType)) throw wrong(`${at}/mediaType`, `is ${quoted(mediaType)}, not ${what}`);
  };
  kind('/config', config.mediaType, configType, 'the config of an image');
  if (layers.length > maxLayers)
    throw wrong('/layers', `has ${layers.length} members, at most ${maxLayers} are taken`);
  for (const [index, { mediaType, sizeBytes }] of layers.entries()) {
    kind(`/layers/${index}`, mediaType, layerType, 'a layer of files, plain or compressed with gzip or zstd');
    if (sizeBytes > defaultArchiveLimits.maxTarBytes) {
      throw new Refusal(
        'archive-too-large',
        `${reference}: /layers/${index}/size is ${sizeBytes}, at most ${defaultArchiveLimits.maxTarBytes} bytes are taken`,
      );
    }
  }
}
