import { metadataKeyBytes } from '../metadata/index.ts';
import type { Random } from '../../core/ports/index.ts';
import { type Disk, writeDurable } from '../store/index.ts';

/**
 * Returns the key of the metadata service. The first pod that uses the service creates it. It is
 * kept from then on, because signatures of apps are verified with it.
 */
export async function metadataKey(disk: Disk, place: string, random: Random): Promise<Uint8Array> {
  const kept = await disk.read(place, metadataKeyBytes);
  if (kept?.length === metadataKeyBytes) return kept;
  const key = random.bytes(metadataKeyBytes);
  await writeDurable(disk, place, key);
  await disk.own(place, { uid: 0, gid: 0 }, 0o600);
  return key;
}
