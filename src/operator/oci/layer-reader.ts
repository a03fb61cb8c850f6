import { createHash } from 'node:crypto';
import { defaultArchiveLimits } from '../../image/tar/index.ts';
import { walkTar } from '../../image/aci/index.ts';
import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import { checkedBlob, type BlobSource } from './blobs.ts';
import type { Descriptor } from './documents.ts';
import type { LayerTree } from './layer-tree.ts';

/** The diff ID of a tar of two empty blocks, which tools write for a layer without files; such a tar has no mark of one. */
const emptyTar = 'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef';

/** Layers that may not be redistributed: a registry need not have them (image-spec, layer.md#non-distributable-layers). */
const isForeign = /nondistributable|foreign/;

/** One layer: its digest and size are those of its descriptor, its tar the one that the config names. */
export async function addLayer(
  tree: LayerTree,
  source: BlobSource,
  layer: Descriptor,
  diffId: string,
  number: number,
): Promise<void> {
  if (diffId === emptyTar) return;
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
    if (error.code === 'not-found' && isForeign.test(layer.mediaType)) {
      const advice = 'which is not fetched from the other addresses that such a layer may have';
      throw new Refusal('not-found', `${message}; layer ${number} is a foreign one, ${advice}`, {
        cause: error,
      });
    }
    throw new Refusal(error.code, message, { cause: error });
  }
  if (hash.digest('hex') !== expected) {
    throw new Refusal(
      'input-invalid',
      `${source.reference}: layer ${number} is not the one that its config names`,
    );
  }
}
