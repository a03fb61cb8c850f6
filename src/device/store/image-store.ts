import type { ImageId } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { directoryOf, type Disk, type Owner } from './disk.ts';
import { readSuperblock, superblockBytes, superblockOffset } from './erofs-superblock.ts';
import type { Verity } from './verity.ts';

/** `rendered-` and 64 lower-case hex digits: a digest of the images of a tree and their order. */
export type TreeId = `rendered-${string}`;

/** @throws Error when `text` is not the ID of a rendered tree */
export function parseTreeId(text: string): TreeId {
  if (!treeIdForm.test(text)) throw new Error(`${JSON.stringify(text)} is not the ID of a rendered tree`);
  return text as TreeId;
}

/** An object, as the device's state records it. */
export interface StoredObject {
  readonly id: string;
  /** Name of the image, for messages. */
  readonly name: string;
  /** Size of the object. */
  readonly sizeBytes: number;
  /** SHA-256 of the object, lower-case hex. */
  readonly sha256: string;
  /**
   * The digest that the kernel's fs-verity measured when the object was sealed; absent where it
   * could not be sealed.
   */
  readonly verity?: string;
}

/**
 * The record of a committed object. Its `verity` is what the kernel measured, never what the unit
 * reported.
 */
export type Committed<Stored extends StoredObject> = Omit<Stored, 'verity'> & { readonly verity?: string };

/** A verified image object. */
export interface StoredImage extends StoredObject {
  readonly id: ImageId;
  /** The exact bytes of the image manifest. */
  readonly manifest: Uint8Array;
  /** The archive has no entry for some directories: their owner, mode and time are unknown. */
  readonly impliesDirectories?: true;
  /**
   * Seconds since 1970 when a set that needs it was replaced, or when it was stored, by the
   * device's clock. An image of the running set is in use whatever this value is.
   */
  readonly lastUse?: number;
}

/**
 * The object of a tree that was rendered from several images; its ID depends on them and their
 * order.
 */
export interface StoredTree extends StoredObject {
  readonly id: TreeId;
  /** The images that it was made from; the last is the one that was rendered. */
  readonly imageIds: readonly ImageId[];
}

export interface ImageStore {
  /** The path of the object of an image or a tree. */
  pathOf(id: string): string;
  /**
   * Takes over the object that a unit made at `objectPath` and makes it durable. `stored` is the
   * unit's description. The unit is not trusted, so this checks everything that can be checked
   * without reading the whole object. If the file system supports it, the object is sealed, and the
   * result contains what the kernel then measured.
   *
   * @param promised the digest that the unit computed of the bytes that it verified, if it did: the
   *   sealed object must have it
   * @throws Refusal `image-build-failed` when the object does not match the description or cannot
   *   be sealed, `no-space`
   */
  commit<Stored extends StoredObject>(
    objectPath: string,
    stored: Stored,
    promised?: string,
  ): Promise<Committed<Stored>>;
  /** Whether there is an object of this image. It is complete: only complete ones get this name. */
  has(id: string): Promise<boolean>;
  /**
   * The fault of an object, by its size, owner, superblock and the kernel's measurement; undefined
   * when there is none. Takes the same short time for every size.
   */
  verifyCheaply(stored: StoredObject): Promise<Refusal | undefined>;
  /**
   * The same, and reads every byte from the medium; `onRead` is called with the number of bytes of
   * each read.
   */
  verifyFully(stored: StoredObject, onRead?: (bytes: number) => void): Promise<Refusal | undefined>;
  remove(id: string): Promise<void>;
  /** IDs of the stored objects, sorted. */
  list(): Promise<readonly string[]>;
}

export interface ImageStoreOptions {
  /** The owner of committed objects: root, except in tests of another user. */
  readonly owner?: Owner;
  /** How objects are sealed and measured. Absent: they are neither. */
  readonly verity?: Verity;
  /**
   * Whether the objects' file system can seal them (`Verity.lack`); if not, they are only measured.
   */
  readonly seals?: boolean;
}

/** Ending of a complete object's name. */
const suffix = '.erofs';
const treeIdForm = /^rendered-[0-9a-f]{64}$/;
const idForm = /^(sha512-[0-9a-f]{128}|rendered-[0-9a-f]{64})$/;
const objectMode = 0o444;

/** One read-only object per image or rendered tree in `directory`, which only root may write. */
export function imageStore(disk: Disk, directory: string, options: ImageStoreOptions = {}): ImageStore {
  const owner = options.owner ?? { uid: 0, gid: 0 };
  const pathOf = (id: string): string => {
    if (!idForm.test(id)) throw new Error(`${JSON.stringify(id)} is not the ID of an object`);
    return `${directory}/${id}${suffix}`;
  };

  /** The fault of the file at `path` as the object of `image`; undefined when there is none. */
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
    try {
      const fault = await faultOf(path, image);
      if (fault !== undefined) return corrupt(image, fault);
      const entry = await disk.look(path);
      const untouched =
        entry?.owner.uid === owner.uid && entry.owner.gid === owner.gid && entry.mode === objectMode;
      if (!untouched) return corrupt(image, 'does not belong to root alone');
    } catch (error) {
      return unreadable(image, error);
    }
    if (image.verity === undefined || options.verity === undefined) return undefined;
    const measure = await options.verity.measure(path);
    if (measure.kind === 'unknown') return undefined; // the capability report shows it
    if (measure.kind === 'open') return corrupt(image, 'is not sealed any more: another file replaced it');
    return measure.digest === image.verity ? undefined : corrupt(image, 'is sealed with other content');
  };

  /** Seals the object at `path` and returns what the kernel measures of it from then on. */
  const seal = async (
    path: string,
    image: StoredObject,
    verity: Verity,
    promised: string | undefined,
  ): Promise<string> => {
    const refuse = (fault: string, cause?: unknown): Refusal =>
      new Refusal('image-build-failed', `the object that was made of ${image.name} ${fault}`, { cause });
    try {
      await verity.seal(path);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      if (!/no space left|ENOSPC/i.test(why)) throw refuse(`cannot be sealed: ${why}`, cause);
      throw new Refusal('no-space', `the disk became full while the object of ${image.name} was sealed`, {
        cause,
      });
    }
    const measure = await verity.measure(path);
    if (measure.kind !== 'sealed') throw refuse('was sealed, and the kernel does not say so');
    if (promised !== undefined && measure.digest !== promised)
      throw refuse('changed between its verification and its sealing');
    return measure.digest;
  };

  return {
    pathOf,
    commit: async (objectPath, image, promised) => {
      const path = pathOf(image.id);
      const incoming = `${path}.new`;
      // Moved out of the unit's reach before it is checked, so that the checked object is the
      // committed one.
      await disk.remove(incoming);
      await disk.rename(objectPath, incoming);
      let digest: string | undefined;
      try {
        const fault = await faultOf(incoming, image);
        if (fault !== undefined)
          throw new Refusal('image-build-failed', `the object that was made of ${image.name} ${fault}`);
        await disk.own(incoming, owner, objectMode);
        if (options.verity !== undefined && options.seals === true)
          digest = await seal(incoming, image, options.verity, promised);
      } catch (error) {
        await disk.remove(incoming);
        throw error;
      }
      // Content, owner and seal are durable before the name, so no object ever has this name
      // without its seal.
      await disk.syncFile(incoming);
      await disk.rename(incoming, path);
      await disk.syncDirectory(directory);
      // The object's old name must not reappear after a power cut and be found as a second link.
      await disk.syncDirectory(directoryOf(objectPath));
      const { verity: _told, ...stored } = image;
      return digest === undefined ? stored : { ...stored, verity: digest };
    },
    has: async (id) => (await disk.look(pathOf(id)))?.kind === 'file',
    verifyCheaply,
    verifyFully: async (image, onRead) => {
      const refusal = await verifyCheaply(image);
      if (refusal !== undefined) return refusal;
      try {
        const sha256 = await disk.sha256OnMedium(pathOf(image.id), onRead);
        return sha256 === image.sha256 ? undefined : corrupt(image, 'has other bytes than were verified');
      } catch (error) {
        return unreadable(image, error);
      }
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

/**
 * Read errors whose cause is the object itself: EIO, for a bad block or a changed byte of a sealed
 * object; EBADMSG, EUCLEAN and EINVAL, for a damaged seal. Linux has the same numbers on every
 * architecture that wherry runs on.
 */
const damage: ReadonlySet<number> = new Set([-5, -74, -117, -22]);

/** @throws `cause` when it is not about the object: too many open files, a lack of memory */
function unreadable(image: StoredObject, cause: unknown): Refusal {
  if (!(cause instanceof Error && 'errno' in cause && damage.has(Number(cause.errno)))) throw cause;
  const message = `the stored object of ${image.name} cannot be read: ${cause.message}`;
  return new Refusal('image-corrupt', message, { cause });
}
