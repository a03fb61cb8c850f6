import { closeSync, constants, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { isAcName } from '../../image/appc/index.ts';

/** The directories of locks and approvals. Files below `run` are lost at a reboot. */
export interface HoldPlaces {
  readonly run: string;
  readonly state: string;
}

/** A lock, as read from its file. */
export interface LockFile {
  readonly name: string;
  readonly path: string;
  readonly reason: string;
  /** Seconds since 1970; absent when the file cannot be read: it holds until it is removed. */
  readonly expires?: number;
}

const maxReasonCharacters = 200;
const maxLockBytes = 4096;
/** How many lock files are read at a time. */
const maxLocks = 64;
const unreadable = 'its file cannot be read; remove it with "wherry lock rm"';
const manyLocks = `it is not read, since there are more than ${maxLocks}; remove those that expired`;

export function lockDirectories({ run, state }: HoldPlaces): { boot: string; kept: string } {
  return { boot: join(run, 'locks'), kept: join(state, 'locks') };
}

/**
 * The path of the file that approves an activation of the version. Each group counts its own
 * versions.
 */
export function approvalPath({ run }: HoldPlaces, version: number, group?: string): string {
  return join(run, 'approvals', group === undefined ? String(version) : `${group}.${version}`);
}

/**
 * The locks of this device. A lock is a file of JSON, `{"reason": "…", "expires": SECONDS}`, that
 * wherry or any other program writes. One that cannot be read holds, too: its writer meant to lock.
 * So do those that are not read because there are too many, expired ones included.
 */
export function readLocks(places: HoldPlaces): readonly LockFile[] {
  return Object.values(lockDirectories(places))
    .flatMap(locksIn)
    .map((lock, index) => {
      if (typeof lock !== 'string') return lock;
      return index < maxLocks ? readLock(lock) : lockAt(lock, manyLocks);
    });
}

function readLock(path: string): LockFile {
  const found = lockIn(beginningOf(path));
  if (found === undefined) return lockAt(path, unreadable);
  return { ...lockAt(path, found.reason), expires: found.expires };
}

function lockAt(path: string, reason: string): LockFile {
  return { name: path.split('/').at(-1) ?? '', path, reason };
}

/** Parses the content of a lock file; undefined when it is not valid. */
export function lockIn(bytes: Uint8Array): { readonly reason: string; readonly expires: number } | undefined {
  try {
    const { reason, expires } = JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<string, unknown>;
    if (typeof reason !== 'string' || !Number.isSafeInteger(expires)) return undefined;
    const text = reason.slice(0, maxReasonCharacters).replaceAll(/\p{C}/gu, '?');
    return { reason: text, expires: expires as number };
  } catch {
    return undefined;
  }
}

/**
 * Reads without blocking and with a limit: a pipe without a writer must not stop wherryd, and an
 * endless file must not fill its memory.
 */
function beginningOf(path: string): Uint8Array {
  let file: number | undefined;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const bytes = Buffer.alloc(maxLockBytes);
    return bytes.subarray(0, readSync(file, bytes, 0, maxLockBytes, null));
  } catch {
    return Buffer.alloc(0);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** A file in place of the directory is a lock, too: its writer meant to lock. */
function locksIn(directory: string): readonly (string | LockFile)[] {
  try {
    return readdirSync(directory)
      .filter((name) => isAcName(name))
      .map((name) => join(directory, name));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOTDIR' ? [lockAt(directory, unreadable)] : [];
  }
}
