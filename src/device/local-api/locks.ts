import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isAcName } from '../../image/appc/index.ts';
import { asLocalRefusal, reasonOf, Refusal } from '../../core/refusal/index.ts';
import {
  approvalPath,
  lockDirectories,
  type LockFile,
  lockIn,
  type Places,
  readLocks,
} from '../host/index.ts';
import { effectOfApproval } from './approval.ts';
import { lastRecord } from './device-status.ts';

/** Where locks, approvals and the last report of wherryd are. */
type HoldPlaces = Pick<Places, 'run' | 'state' | 'record'>;

/** A longer one would make the file too large to be read. */
const maxReasonCharacters = 200;

export interface NewLock {
  readonly reason: string;
  /** Seconds since 1970. */
  readonly expires: number;
  /** Whether it survives a reboot. */
  readonly keep: boolean;
}

/**
 * Holds every activation that is not forced until the lock expires or is removed. One that has
 * begun goes on.
 * @throws Refusal `usage` for an invalid name, `input-invalid` for such a reason,
 *   `device-unsupported` without the rights
 */
export async function addLock(places: HoldPlaces, name: string, lock: NewLock): Promise<LockFile> {
  refuseOtherNames(name);
  const { reason, expires, keep } = lock;
  if (reason === '' || reason.length > maxReasonCharacters)
    throw new Refusal('input-invalid', `reason takes text of 1 to ${maxReasonCharacters} characters`);
  const { boot, kept } = lockDirectories(places);
  const path = join(keep ? kept : boot, name);
  const text = `${JSON.stringify({ reason, expires })}\n`;
  await place(path, text);
  // As it is read: without characters that would control a terminal.
  return { name, path, reason, expires, ...lockIn(Buffer.from(text)) };
}

/**
 * @throws Refusal `not-found` with the locks that there are, `device-unsupported` without the
 *   rights
 */
export async function removeLock(places: HoldPlaces, name: string): Promise<void> {
  const locks = readLocks(places);
  const found = locks.filter((lock) => lock.name === name);
  if (found.length === 0) {
    const names = locks.map((lock) => lock.name).join(', ') || 'none';
    throw new Refusal('not-found', `there is no lock ${JSON.stringify(name)}; locks: ${names}`);
  }
  await asRoot(async () => {
    for (const { path } of found) await rm(path, { recursive: true, force: true });
  });
}

/**
 * Approves the activation of a version, for this boot.
 * @param group the group of the version; without it, the version is the device's own
 * @returns what that does, in words
 * @throws Refusal `usage` for an invalid name, `not-found` for a version that is past,
 *   `device-unsupported` without the rights
 */
export async function approve(places: HoldPlaces, version: number, group?: string): Promise<string> {
  if (group !== undefined) refuseOtherNames(group);
  const effect = effectOfApproval((await lastRecord(places))?.report, version, group);
  const path = approvalPath(places, version, group);
  await place(path, '');
  return effect;
}

/** The name becomes a file name. */
function refuseOtherNames(name: string): void {
  if (!isAcName(name) || basename(name) !== name)
    throw new Refusal('usage', `${JSON.stringify(name)} is not a name of lower-case words and dashes`);
}

/** Writes a lock or an approval, whole or not at all: an unreadable lock would hold for ever. */
async function place(path: string, text: string): Promise<void> {
  const directory = dirname(path);
  const unfinished = join(directory, `.${basename(path)}.new`); // not the name of a lock
  try {
    await asRoot(async () => {
      await makeHolder(directory);
      await writeFile(unfinished, text);
      await rename(unfinished, path);
    });
  } catch (error) {
    await rm(unfinished, { force: true }).catch(() => undefined);
    throw asLocalRefusal(error, path);
  }
}

async function makeHolder(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o755 }).catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
    throw new Refusal('input-invalid', `${directory} is not a directory; remove it`, { cause });
  });
}

async function asRoot(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    // Such as a full disk, which has a code of its own.
    if (code !== 'EACCES' && code !== 'EPERM') throw cause;
    throw new Refusal('device-unsupported', `${reasonOf(cause)}; run this as root on a device`, { cause });
  }
}
