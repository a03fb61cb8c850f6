import { rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultArchiveLimits } from '../../image/tar/index.ts';
import { readArchive } from '../../image/aci/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { readInput } from '../build/index.ts';
import type { LayerImage } from './layer-stack.ts';

/** The image of a layer, where an operator finds it. */
export interface PlacedLayer extends LayerImage {
  readonly path: string;
  /** Whether the file existed before, perhaps with its signature. */
  readonly wasThere: boolean;
}

/**
 * Moves the images of layers to their directory. An existing one stays, so that its signature still
 * fits. All are checked before the first is moved.
 * @throws Refusal `input-invalid` when a file of that name is another image
 */
export async function putInPlace(
  images: readonly LayerImage[],
  from: string,
  to: string,
): Promise<readonly PlacedLayer[]> {
  const placed: PlacedLayer[] = [];
  for (const image of images) {
    const path = join(to, image.file);
    const sizeBytes = await sizeOfSame(path, image);
    placed.push({
      ...image,
      path,
      wasThere: sizeBytes !== undefined,
      sizeBytes: sizeBytes ?? image.sizeBytes,
    });
  }
  for (const { file, path, wasThere } of placed) if (!wasThere) await rename(join(from, file), path);
  return placed;
}

/** The size of the file at `path` in bytes if it exists and is the same image. */
async function sizeOfSame(path: string, { imageId }: LayerImage): Promise<number | undefined> {
  const status = await stat(path).catch(() => undefined);
  if (status === undefined) return undefined;
  const other = (cause?: unknown) =>
    new Refusal(
      'input-invalid',
      `${path} is there already and is another image than this layer gives now, with this --layers and SOURCE_DATE_EPOCH; move it away, or write to another directory`,
      { cause },
    );
  const there = await readArchive(readInput(path), { limits: defaultArchiveLimits }).catch(
    (cause: unknown) => {
      throw other(cause);
    },
  );
  if (there.imageId !== imageId) throw other();
  return status.size;
}
