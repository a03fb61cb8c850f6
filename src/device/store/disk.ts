/**
 * The operations of the file system on which durability depends. A power cut undoes or applies any
 * of those that were not synced, each by itself: `syncFile` makes the content of one file durable,
 * `syncDirectory` the names in one directory. Paths are absolute; symbolic links are never followed
 * in the last component.
 */
export interface Disk {
  /**
   * The bytes of a regular file, undefined when there is none; throws when it is larger than
   * `maxBytes`.
   */
  read(path: string, maxBytes: number): Promise<Uint8Array | undefined>;
  /** Part of a regular file; shorter at its end. */
  readAt(path: string, offset: number, length: number): Promise<Uint8Array>;
  /** SHA-256 of a regular file, lower-case hex. */
  sha256(path: string): Promise<string>;
  /**
   * The same, read from the medium and not from the page cache, as far as the file system allows
   * that. `onRead` is called with the number of bytes of each read.
   */
  sha256OnMedium(path: string, onRead?: (bytes: number) => void): Promise<string>;
  /** Creates or replaces a file, not yet durable. A directory at `path` is removed. */
  write(path: string, bytes: Uint8Array): Promise<void>;
  syncFile(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  /** Moves a file, and replaces what is at `to`. Both must be on one file system. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file, or a directory with its content; does nothing when there is none. */
  remove(path: string): Promise<void>;
  /** Names in a directory, sorted; empty when there is none. */
  list(path: string): Promise<readonly string[]>;
  /** The entry at `path` itself; undefined when there is none. */
  look(path: string): Promise<DiskEntry | undefined>;
  /** `path` with every link resolved; undefined when there is no such entry. */
  realPath(path: string): Promise<string | undefined>;
  /**
   * Whether the file system that holds `path` is on a block device that systemd finds, so that its
   * cgroup limits apply. False for one in memory, of the network, or in layers.
   */
  hasBlockDevice(path: string): Promise<boolean>;
  /**
   * Creates a directory that only `owner` may enter, and missing parents, through which everybody
   * may pass. An existing directory gets this owner.
   */
  makeDirectory(path: string, owner: Owner): Promise<void>;
  /** Sets the owner of a file, and its permission bits to `mode`. */
  own(path: string, owner: Owner, mode: number): Promise<void>;
  /** Bytes that an unprivileged process could still write to the file system that holds `path`. */
  freeBytes(path: string): Promise<number>;
}

export interface DiskEntry {
  readonly kind: 'file' | 'directory' | 'other';
  /** The length of a file. */
  readonly sizeBytes: number;
  /** The space that its removal frees, including everything below a directory. */
  readonly allocatedBytes: number;
  readonly links: number;
  readonly owner: Owner;
  /** Permission bits. */
  readonly mode: number;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Replaces a file so that after a power failure at any time it has either the old or the new
 * content: a temporary file beside it, synced, renamed over it, and the directory synced.
 */
export async function writeDurable(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.new`;
  await disk.write(temporary, bytes);
  await disk.syncFile(temporary);
  await disk.rename(temporary, path);
  await disk.syncDirectory(directoryOf(path));
}

/** The directory that holds the name at the end of `path`. */
export function directoryOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')));
}
