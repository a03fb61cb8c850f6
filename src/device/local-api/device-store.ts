import type { DeviceState } from '../deploy/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { Disk, ImageStore, StoreDirectories } from '../store/index.ts';

/** The directory of a device's store (device/host/places.ts). */
export const deviceStore = '/var/lib/wherry';

/** A device's store as the command line reads it, without wherryd. Nothing is changed. */
export interface DeviceStore {
  readonly disk: Disk;
  readonly images: ImageStore;
  readonly directories: StoreDirectories;
  /** The state that was saved last; wherryd may save another at any time. */
  readonly readState: () => Promise<DeviceState>;
}

/**
 * @param path the directory of the store: of this device, or of a card that is mounted here
 * @throws Refusal `not-found` when there is none, `device-unsupported` without the rights to read
 *   it, `state-unreadable`
 */
export async function openDeviceStore(path: string): Promise<DeviceStore> {
  // Imported here only: most commands on a device do not need the store.
  const { decodeState } = await import('../deploy/index.ts');
  const { imageStore, nodeDisk, programVerity, stateSlots } = await import('../store/index.ts');
  const disk = nodeDisk();
  const directories = {
    images: `${path}/images`,
    partial: `${path}/partial`,
    pods: `${path}/pods`,
    secrets: `${path}/secrets`,
    metadata: `${path}/metadata`,
  };
  const entry = await asked(path, disk.look(directories.images));
  if (entry?.kind !== 'directory') {
    throw new Refusal('not-found', `there is no store of images in ${path}; run this on a device`);
  }
  await asked(path, disk.list(directories.images));
  // Objects have the owner of their directory: root, on a device.
  const images = imageStore(disk, directories.images, { owner: entry.owner, verity: programVerity() });
  const slots = stateSlots(disk, path);
  return {
    disk,
    images,
    directories,
    readState: async () => {
      const saved = await slots.read();
      if (saved === undefined)
        throw new Refusal('not-found', `there is no state in ${path}: this device was never commanded`);
      return decodeState(saved.body);
    },
  };
}

async function asked<T>(path: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && (cause.code === 'EACCES' || cause.code === 'EPERM')))
      throw cause;
    throw new Refusal('device-unsupported', `${path} can only be read by root; try sudo`, { cause });
  }
}
