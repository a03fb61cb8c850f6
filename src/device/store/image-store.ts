import type { ImageId } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { directoryOf, type Disk, type Owner } from './disk.ts';
import { readSuperblock, superblockBytes, superblockOffset } from './erofs-superblock.ts';
import type { Verity } from './verity.ts';

/** `rendered-` and 64 lower-case hex digits: what a tree is rendered of, and how. */
export type TreeId = `rendered-${string}`;

/** @throws Error when `text` is not the ID of a rendered tree */
export function parseTreeId(text: string): TreeId {
  if (!treeIdForm.test(text)) throw new Error(`${JSON.stringify(text)} is not the ID of a rendered tree`);
  return text as TreeId;
}

/** An object, as the device's state remembers it. */
export interface StoredObject {
  readonly id: string;
  /** Name of the image, for sentences. */
  readonly name: string;
  /** Size of the object. */
  readonly sizeBytes: number;
  /** SHA-256 of the object, lower-case hex. */
  readonly sha256: string;
  /**
   * What the kernel's fs-verity measured of the object when it was sealed; absent where it could
   * not be.
   */
  readonly verity?: string;
}

/**
 * What is remembered of a committed object: `verity` as the kernel measured it, whatever was told.
 */
export type Committed<Stored extends StoredObject> = Omit<Stored, 'verity'> & { readonly verity?: string };

/** A verified image object. */
export interface StoredImage extends StoredObject {
  readonly id: ImageId;
  /** The exact bytes of the image manifest. */
  readonly manifest: Uint8Array;
  /**
   * The archive left out entries of directories: nothing is known of their owner, mode and time.
   */
  readonly impliesDirectories?: true;
  /**
   * Seconds since 1970 when a set that needs it was replaced, or when it was stored, by the
   * device's clock. What the running set needs is in use whatever this says.
   */
  readonly lastUse?: number;
}

/** The object of a tree that was rendered of several images; its ID says of which and how. */
export interface StoredTree extends StoredObject {
  readonly id: TreeId;
  /** The images that it was made of; the last is the one that was rendered. */
  readonly imageIds: readonly ImageId[];
}

export interface ImageStore {
  /** Where the object of an image or a tree lies. */
  pathOf(id: string): string;
  /**
   * Takes over the object that a unit made at `objectPath` and makes it durable. `stored` is what
   * the unit says of it; here is checked whatever can be checked without reading all of it, because
   * the unit is not trusted. Where the file system can, the object is sealed, and what the kernel
   * then measured is in the result.
   *
   * @param promised the digest that the unit computed of the bytes that it verified, if it did: the
   *   sealed object must have it
   * @throws Refusal `image-build-failed` when the object is not what the unit says or cannot be
   *   sealed, `no-space`
   */
  commit<Stored extends StoredObject>(
    objectPath: string,
    stored: Stored,
    promised?: string,
  ): Promise<Committed<Stored>>;
  /** Whether there is an object of this image. It is complete: only complete ones get this name. */
  has(id: string): Promise<boolean>;
  /**
   * What is wrong with an object as far as its size, owner, superblock and the kernel's measure
   * tell; undefined when nothing is. Takes the same short time for every size.
   */
  verifyCheaply(stored: StoredObject): Promise<Refusal | undefined>;
  /** The same, and every byte is read from the medium; `onRead` is told how many each time. */
  verifyFully(stored: StoredObject, onRead?: (bytes: number) => void): Promise<Refusal | undefined>;
  remove(id: string): Promise<void>;
  /** IDs of the objects that are here, sorted. */
  list(): Promise<readonly string[]>;
}

export interface ImageStoreOptions {
  /** Who owns committed objects: root, unless a test runs without being it. */
  readonly owner?: Owner;
  /** How objects are sealed and measured. Absent: they are neither. */
  readonly verity?: Verity;
  /**
   * Whether the objects' file system can seal them (`Verity.lack`); where it cannot, they are only
   * measured.
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
    if (measure.kind === 'unknown') return undefined; // which the capability report tells
    if (measure.kind === 'open') return corrupt(image, 'is not sealed any more: another file took its place');
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
      // First out of the unit's reach, then looked at: what is judged is what is committed.
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
      // Content, owner and seal are on the medium before the name is: under it there is never an
      // object without its seal.
      await disk.syncFile(incoming);
      await disk.rename(incoming, path);
      await disk.syncDirectory(directory);
      // The name that the object had must not come back after a power cut and be collected as a
      // second link.
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
 * Errors of reading that the object itself is to blame for: EIO, of a bad block and of a sealed
 * object with a changed byte; EBADMSG, EUCLEAN and EINVAL, of a seal that is damaged. Linux has the
 * same numbers on every architecture that there is.
 */
const damage: ReadonlySet<number> = new Set([-5, -74, -117, -22]);

/** @throws `cause` when it says nothing of the object: too many open files, a lack of memory */
function unreadable(image: StoredObject, cause: unknown): Refusal {
  if (!(cause instanceof Error && 'errno' in cause && damage.has(Number(cause.errno)))) throw cause;
  const message = `the stored object of ${image.name} cannot be read: ${cause.message}`;
  return new Refusal('image-corrupt', message, { cause });
}
