import { createHash } from 'node:crypto';
import { type ArchiveLimits, quoted } from '../../image/tar/index.ts';
import { walkPlainTar } from '../../image/aci/index.ts';
import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import { checkedBlob, type BlobSource } from './blobs.ts';
import type { Descriptor } from './documents.ts';
import type { LayerTree } from './layer-tree.ts';
import { plainTar } from './plain-tar.ts';
import { tooLarge, uncompressed } from './uncompressed.ts';

/**
 * Layers that may not be redistributed: a registry need not have them (image-spec,
 * layer.md#non-distributable-layers).
 */
const isForeign = /nondistributable|foreign/;

/**
 * Adds one layer. Its digest and size must match its descriptor, its tar the diff ID of the config.
 * Returns what was left out, in words.
 */
export async function addLayer(
  tree: LayerTree,
  source: BlobSource,
  layer: Descriptor,
  diffId: string,
  number: number,
  limits: ArchiveLimits,
): Promise<readonly string[]> {
  const [algorithm = '', expected = ''] = diffId.split(':');
  const hash = createHash(algorithm);
  tree.nextLayer();
  const blob = checkedBlob(source, layer);
  const devices: string[] = [];
  const hashed = (async function* (): AsyncGenerator<Buffer, void> {
    for await (const chunk of uncompressed(blob, limits)) {
      hash.update(chunk);
      yield chunk;
    }
  })();
  try {
    const plain = plainTar(hashed, { limits, onDevice: (name) => devices.push(name) });
    const tar = within(plain, limits.maxTarBytes);
    // The size is judged by the bytes that arrive, so the message names the option and not the size
    // in a header.
    await walkPlainTar(
      tar,
      { ...limits, maxTarBytes: Infinity },
      {
        needsEndMarker: false,
        inputBytes: () => layer.sizeBytes,
        onTar: () => undefined,
        visit: (entry, body) => tree.add(entry, body),
      },
    );
    for (const name of devices) tree.removeLower(name);
    // The reader of the tar may stop before the end of the blob.
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
  const [first] = devices;
  if (first === undefined) return [];
  const which = devices.length === 1 ? 'the device node' : `${devices.length} device nodes such as`;
  return [`layer ${number}: ${which} ${quoted(first)} left out; the runtime makes the devices of an app`];
}

/**
 * Sparse files grow when they are expanded, so the limit on decompressed bytes does not bound them.
 */
async function* within(tar: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Buffer, void> {
  let sizeBytes = 0;
  for await (const chunk of tar) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) throw tooLarge(maxBytes);
    yield chunk;
  }
}
