import { Refusal } from '../refusal/index.ts';
import { directoryOf, type Disk, type Owner } from './disk.ts';
import { readSuperblock, superblockBytes, superblockOffset } from './erofs-superblock.ts';

/** An object, as the device's state remembers it. */
export interface StoredObject {
  readonly id: string;
  /** Name of the image, for sentences. */
  readonly name: string;
  /** Size of the object. */
  readonly sizeBytes: number;
  /** SHA-256 of the object, lower-case hex. */
  readonly sha256: string;
}

/** A verified image object. */
export interface StoredImage extends StoredObject {
  /** The exact bytes of the image manifest. */
  readonly manifest: Uint8Array;
  /** The archive left out entries of directories: nothing is known of their owner, mode and time. */
  readonly impliesDirectories?: true;
}

/** The object of a tree that was rendered of several images; its ID says of which and how. */
export interface StoredTree extends StoredObject {
  /** The images that it was made of; the last is the one that was rendered. */
  readonly imageIds: readonly string[];
}

export interface ImageStore {
  /** Where the object of an image or a tree lies. */
  pathOf(id: string): string;
  /**
   * Takes over the object that a unit made at `objectPath` and makes it durable. `stored` is what the unit says of
   * it; here is checked whatever can be checked without reading all of it, because the unit is not trusted.
   *
   * @throws Refusal `image-build-failed` when the object is not what the unit says
   */
  commit<Stored extends StoredObject>(objectPath: string, stored: Stored): Promise<Stored>;
  /** Whether there is an object of this image. It is complete: only complete ones get this name. */
  has(id: string): Promise<boolean>;
  /** What is wrong with an object as far as its size, owner and superblock tell; undefined when nothing is. */
  verifyCheaply(stored: StoredObject): Promise<Refusal | undefined>;
  /** The same, and every byte is read. */
  verifyFully(stored: StoredObject): Promise<Refusal | undefined>;
  remove(id: string): Promise<void>;
  /** IDs of the objects that are here, sorted. */
  list(): Promise<readonly string[]>;
}

export interface ImageStoreOptions {
  /** Who owns committed objects: root, unless a test runs without being it. */
  readonly owner?: Owner;
}

/** Ending of a complete object's name. */
const suffix = '.erofs';
const idForm = /^(sha512-[0-9a-f]{128}|rendered-[0-9a-f]{64})$/;
const objectMode = 0o444;

/** One read-only object per image or rendered tree in `directory`, which only root may write. */
export function imageStore(disk: Disk, directory: string, options: ImageStoreOptions = {}): ImageStore {
  const owner = options.owner ?? { uid: 0, gid: 0 };
  const pathOf = (id: string): string => {
    if (!idForm.test(id)) throw new Error(`${JSON.stringify(id)} is not the ID of an object`);
    return `${directory}/${id}${suffix}`;
  };

  /** What is wrong with the file at `path` if it is to be the object of `image`. */
  const faultOf = async (path: string, image: StoredObject): Promise<string | undefined> => {
    const entry = await disk.look(path);
    if (entry === undefined) return 'is missing';
    if (entry.kind !== 'file') return 'is not a regular file';
    if (entry.links !== 1) return 'has a second name';
    if (entry.sizeBytes !== image.sizeBytes) {
      return `has ${entry.sizeBytes} bytes instead of ${image.sizeBytes}`;
    }
    const superblock = readSuperblock(await disk.readAt(path, superblockOffset, superblockBytes));
    if (typeof superblock === 'string') return `is not an image object: it has ${superblock}`;
    if (superblock.sizeBytes !== entry.sizeBytes) return 'is cut off';
    return undefined;
  };

  const verifyCheaply = async (image: StoredObject): Promise<Refusal | undefined> => {
    const path = pathOf(image.id);
    const fault = await faultOf(path, image);
    if (fault !== undefined) return corrupt(image, fault);
    const entry = await disk.look(path);
    const untouched =
      entry?.owner.uid === owner.uid && entry.owner.gid === owner.gid && entry.mode === objectMode;
    return untouched ? undefined : corrupt(image, 'does not belong to root alone');
  };

  return {
    pathOf,
    commit: async (objectPath, image) => {
      const path = pathOf(image.id);
      const incoming = `${path}.new`;
      // First out of the unit's reach, then looked at: what is judged is what is committed.
      await disk.remove(incoming);
      await disk.rename(objectPath, incoming);
      const fault = await faultOf(incoming, image);
      if (fault !== undefined) {
        await disk.remove(incoming);
        throw new Refusal('image-build-failed', `the object that was made of ${image.name} ${fault}`);
      }
      await disk.own(incoming, owner, objectMode);
      await disk.syncFile(incoming);
      await disk.rename(incoming, path);
      await disk.syncDirectory(directory);
      // The name that the object had must not come back after a power cut and be collected as a second link.
      await disk.syncDirectory(directoryOf(objectPath));
      return image;
    },
    has: async (id) => (await disk.look(pathOf(id)))?.kind === 'file',
    verifyCheaply,
    verifyFully: async (image) => {
      const refusal = await verifyCheaply(image);
      if (refusal !== undefined) return refusal;
      const sha256 = await disk.sha256(pathOf(image.id));
      return sha256 === image.sha256 ? undefined : corrupt(image, 'has other bytes than were verified');
    },
    remove: async (id) => {
      await disk.remove(pathOf(id));
      await disk.syncDirectory(directory);
    },
    list: async () =>
      (await disk.list(directory))
        .filter((name) => name.endsWith(suffix))
        .map((name) => name.slice(0, -suffix.length))
        .filter((id) => idForm.test(id)),
  };
}

function corrupt(image: StoredObject, fault: string): Refusal {
  return new Refusal('image-corrupt', `the stored object of ${image.name} ${fault}`);
}
