import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { DeviceState, ImageUse } from '../deploy/index.ts';
import { places } from '../host/index.ts';
import { deviceStore, openDeviceStore } from './device-store.ts';

/** An image of the store as programs read it. */
export interface ImageSummary {
  readonly id: string;
  readonly name: string | null;
  readonly version: string | null;
  readonly sizeBytes: number | null;
  readonly inUse: boolean;
  /** RFC 3339; null for an image that is in use, and when unknown. */
  readonly lastUse: string | null;
  readonly deployments: ImageUse['deployments'];
  readonly pods: readonly string[];
  readonly verity: string | null;
  readonly renderedOf?: readonly string[];
}

/**
 * The objects of a store, and their users.
 *
 * @param path the directory of the store: of this device, or of a card that is mounted here
 * @throws Refusal as {@link openDeviceStore}
 */
export async function storedImages(path: string): Promise<readonly ImageUse[]> {
  // Imported here only: they load the client of D-Bus.
  const { imageUses } = await import('../deploy/index.ts');
  const { mountUnit } = await import('../pod/index.ts');
  const { disk, images, directories, readState } = await openDeviceStore(path);
  const state = await readState();
  const objects = new Map<string, number>();
  for (const id of await images.list()) {
    const entry = await disk.look(images.pathOf(id));
    if (entry !== undefined) objects.set(id, entry.sizeBytes);
  }
  // Only this machine's own store has units that run here; a mounted card is another device's.
  const active = path === deviceStore ? await activeUnits(state) : new Set<string>();
  const mountOf = (id: string): string =>
    mountUnit(id, { directories: { ...directories, run: places.run } }).name;
  return imageUses(state, objects, mountOf, (unit) => active.has(unit));
}

/** The same for programs. @throws Refusal as {@link openDeviceStore} */
export async function imageSummaries(path: string): Promise<readonly ImageSummary[]> {
  const { versionOf } = await import('../deploy/index.ts');
  return (await storedImages(path)).map(({ id, image, sizeBytes, deployments, pods, lastUse }) => ({
    id,
    name: image?.name ?? null,
    version: (image === undefined ? undefined : versionOf(image)) ?? null,
    sizeBytes: sizeBytes ?? null,
    inUse: lastUse === 'now',
    lastUse: typeof lastUse === 'number' ? new Date(lastUse * 1000).toISOString() : null,
    deployments,
    pods,
    verity: image?.verity ?? null,
    ...(image !== undefined && 'imageIds' in image ? { renderedOf: image.imageIds } : {}),
  }));
}

/** The units of apps that run now; none without systemd. */
async function activeUnits({ current, previous }: DeviceState): Promise<ReadonlySet<string>> {
  const units = [...(current?.pods ?? []), ...(previous?.pods ?? [])].flatMap(({ services }) =>
    services.map(({ unit }) => unit),
  );
  if (units.length === 0) return new Set();
  try {
    const { stdout } = await promisify(execFile)('systemctl', [
      'show',
      '--property=Id,ActiveState',
      ...units,
    ]);
    const blocks = stdout.trim().split('\n\n');
    return new Set(
      blocks
        .filter((block) => /^ActiveState=(active|activating|reloading|deactivating)$/m.test(block))
        .map((block) => /^Id=(.*)$/m.exec(block)?.[1] ?? ''),
    );
  } catch {
    return new Set(); // without systemd nothing runs
  }
}
