import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import {
  chown,
  lstat,
  mkdir,
  open,
  readdir,
  realpath,
  rename,
  rm,
  stat,
  statfs,
  type FileHandle,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Disk, DiskEntry } from './disk.ts';

const { O_CREAT, O_DIRECT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_TRUNC, O_WRONLY } = constants;
const chunkBytes = 256 * 1024;
/** statfs(2); systemd finds the block device below this file system by other means. */
const btrfsMagic = 0x9123683e;

/** The disk of the machine. */
export function nodeDisk(): Disk {
  return {
    read: async (path, maxBytes) => {
      const handle = await openRegular(path).catch(ifMissing(undefined));
      if (handle === undefined) return undefined;
      try {
        const { size } = await handle.stat();
        if (size > maxBytes) throw new Error(`${path} is larger than ${maxBytes} bytes`);
        return await readUpTo(handle, 0, size);
      } finally {
        await handle.close();
      }
    },
    readAt: (path, offset, length) => withRegular(path, (handle) => readUpTo(handle, offset, length)),
    sha256: (path) => withRegular(path, (handle) => hashed(handle, Buffer.allocUnsafe(chunkBytes))),
    sha256OnMedium: async (path, onRead) => {
      await forgetCache(path);
      const hash = (handle: FileHandle): Promise<string> => hashed(handle, pageAligned(chunkBytes), onRead);
      return await withRegular(path, hash, O_DIRECT).catch((error: unknown) => {
        // A file system without direct reads reports EINVAL.
        if (!isSystemError(error, 'EINVAL')) throw error;
        return withRegular(path, hash);
      });
    },
    write: async (path, bytes) => {
      const openNew = () => open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
      const handle = await replacing(path, openNew);
      try {
        await handle.writeFile(bytes);
      } finally {
        await handle.close();
      }
    },
    syncFile: (path) => withRegular(path, (handle) => handle.sync()),
    syncDirectory: (path) => sync(path),
    rename: (from, to) => replacing(to, () => rename(from, to)),
    remove: (path) => rm(path, { recursive: true, force: true }),
    list: async (path) => (await readdir(path).catch(ifMissing<string[]>([]))).sort(),
    look,
    realPath: (path) => realpath(path).catch(ifMissing(undefined)),
    hasBlockDevice: async (path) => {
      const { dev } = await stat(path);
      // makedev(3): major 0 is not a block device.
      return Math.floor(dev / 2 ** 8) % 2 ** 12 > 0 || (await statfs(path)).type === btrfsMagic;
    },
    makeDirectory: async (path, owner) => {
      await mkdir(dirname(path), { recursive: true, mode: 0o711 });
      await mkdir(path, { recursive: true, mode: 0o700 });
      await chown(path, owner.uid, owner.gid);
    },
    own: (path, owner, mode) =>
      withRegular(path, async (handle) => {
        await handle.chown(owner.uid, owner.gid);
        await handle.chmod(mode);
      }),
    freeBytes: async (path) => {
      const { bavail, bsize } = await statfs(path);
      return bavail * bsize;
    },
  };
}

/**
 * Has a file take the place of whatever is at `path`: a directory or a link is removed. Only a
 * person or a repair of the file system puts one there.
 */
async function replacing<T>(path: string, put: () => Promise<T>): Promise<T> {
  return await put().catch(async (error: unknown) => {
    if (!isSystemError(error, 'EISDIR') && !isSystemError(error, 'ELOOP')) throw error;
    await rm(path, { recursive: true, force: true });
    return await put();
  });
}

/** Opens a regular file only: it follows no link, and does not wait for a FIFO or a device. */
async function openRegular(path: string, flags = 0): Promise<FileHandle> {
  const handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | flags);
  const stats = await handle.stat();
  if (stats.isFile()) return handle;
  await handle.close();
  throw new Error(`${path} is not a regular file`);
}

async function withRegular<T>(
  path: string,
  use: (handle: FileHandle) => Promise<T>,
  flags?: number,
): Promise<T> {
  const handle = await openRegular(path, flags);
  try {
    return await use(handle);
  } finally {
    await handle.close();
  }
}

async function readUpTo(handle: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const buffer = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

/** SHA-256 of a file from the position of `handle`, read through `buffer`. */
async function hashed(
  handle: FileHandle,
  buffer: Uint8Array,
  onRead?: (bytes: number) => void,
): Promise<string> {
  const hash = createHash('sha256');
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, null);
    if (bytesRead === 0) return hash.digest('hex');
    hash.update(buffer.subarray(0, bytesRead));
    onRead?.(bytesRead);
  }
}

/**
 * Memory that starts at a page, as O_DIRECT requires (open(2)). A Buffer may start anywhere, but V8
 * allocates whole pages for a resizable array buffer.
 */
function pageAligned(bytes: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(bytes, { maxByteLength: bytes }));
}

/**
 * Has the kernel drop a file from the page cache, by coreutils' dd: a sealed file is read through
 * the page cache even with O_DIRECT (Linux, Documentation/filesystems/fsverity.rst).
 */
async function forgetCache(path: string): Promise<void> {
  await promisify(execFile)('dd', [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none']).catch(
    () => undefined, // then a part of a sealed file is compared from the page cache
  );
}

async function sync(directory: string): Promise<void> {
  const handle = await open(directory, O_RDONLY | O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function look(path: string): Promise<DiskEntry | undefined> {
  const stats = await lstat(path).catch(ifMissing(undefined));
  if (stats === undefined) return undefined;
  let allocatedBytes = stats.blocks * 512;
  if (stats.isDirectory()) {
    for (const name of await readdir(path))
      allocatedBytes += (await look(join(path, name)))?.allocatedBytes ?? 0;
  }
  return {
    kind: stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other',
    sizeBytes: stats.size,
    allocatedBytes,
    links: stats.nlink,
    owner: { uid: stats.uid, gid: stats.gid },
    mode: stats.mode & 0o7777,
  };
}

/** Turns ENOENT into a value; every other error is thrown. */
function ifMissing<T>(value: T): (error: unknown) => T {
  return (error) => {
    if (isSystemError(error, 'ENOENT')) return value;
    throw error;
  };
}

function isSystemError(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
