import type { Journal, Random } from '../../core/ports/index.ts';
import { metadataKeyBytes } from '../metadata/index.ts';
import { type Disk, writeDurable } from '../store/index.ts';

interface KeyPlaces {
  readonly metadataKey: string;
  /** Documents of the pods that use the service. */
  readonly metadata: string;
}

/**
 * Returns the key of the metadata service. The first pod that uses the service creates it. It is
 * kept from then on, because signatures of apps are verified with it. If it is lost while pods use
 * the service, a new one replaces it, and that is logged.
 */
export async function metadataKey(
  disk: Disk,
  places: KeyPlaces,
  random: Random,
  journal: Journal,
): Promise<Uint8Array> {
  const place = places.metadataKey;
  const kept = await disk.read(place, metadataKeyBytes).catch(() => undefined);
  if (kept?.length === metadataKeyBytes) return kept;
  const key = random.bytes(metadataKeyBytes);
  await writeDurable(disk, place, key);
  await disk.own(place, { uid: 0, gid: 0 }, 0o600);
  if ((await disk.list(places.metadata)).length > 0) {
    const message = `${place} was missing or damaged and is a new key now: older signatures of pods are invalid, and apps that run have no metadata until their next start; check the disk`;
    journal.log('error', message, { WHERRY_CODE: 'disk-failed' });
  }
  return key;
}
