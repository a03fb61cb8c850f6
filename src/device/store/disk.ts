/**
 * The operations on a file system that promises rest on. A power cut undoes or applies any of those
 * that were not synced, each by itself: `syncFile` makes the content of one file durable,
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
   * The same of what the medium holds and not of what memory still has of it, as far as the file
   * system allows that; `onRead` is told how many bytes were read each time.
   */
  sha256OnMedium(path: string, onRead?: (bytes: number) => void): Promise<string>;
  /** Creates or replaces a file, not yet durable. */
  write(path: string, bytes: Uint8Array): Promise<void>;
  syncFile(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  /** Replaces `to`. Both must be on one file system. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file, or a directory with all in it; nothing to remove is fine. */
  remove(path: string): Promise<void>;
  /** Names in a directory, sorted; empty when there is none. */
  list(path: string): Promise<readonly string[]>;
  /** What is at `path` itself; undefined when nothing is. */
  look(path: string): Promise<DiskEntry | undefined>;
  /**
   * The path that `path` leads to when every link in it is followed; undefined when nothing is
   * there.
   */
  realPath(path: string): Promise<string | undefined>;
  /**
   * Creates a directory that only `owner` may enter, and those above it that are missing. One that
   * exists becomes the owner's.
   */
  makeDirectory(path: string, owner: Owner): Promise<void>;
  /** Makes a file the property of `owner`, with permission bits `mode`. */
  own(path: string, owner: Owner, mode: number): Promise<void>;
  /** Bytes that an unprivileged process could still write to the file system that holds `path`. */
  freeBytes(path: string): Promise<number>;
}

export interface DiskEntry {
  readonly kind: 'file' | 'directory' | 'other';
  /** The length of a file. */
  readonly sizeBytes: number;
  /** What removing it gives back, with everything below a directory. */
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
 * Replaces a file so that, whenever the power fails, either the old or the new content is there: a
 * temporary file beside it, synced, renamed over it, and the directory synced.
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
