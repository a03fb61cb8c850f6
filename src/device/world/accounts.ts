import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { App } from '../../image/appc/index.ts';
import type { PodImage } from '../pod/index.ts';
import { findInImage } from './image-tree.ts';

const maxAccountFileBytes = 256 * 1024;

/**
 * Reads the facts of a mounted image that decide user and group of an app (aci.md, `user` and
 * `group`). The image's own links are never followed: an image whose `/etc` is a link to somewhere
 * else has no account files.
 *
 * @param roots the image's layers, mounted read-only, the uppermost first
 */
export async function readAccounts(
  roots: readonly string[],
  apps: readonly App[],
): Promise<Pick<PodImage, 'passwd' | 'group' | 'owners'>> {
  const owners = new Map<string, { uid: number; gid: number }>();
  for (const path of new Set(apps.flatMap((app) => [app.user, app.group]))) {
    if (!path.startsWith('/')) continue;
    const owner = await ownerOf(roots, path);
    if (owner !== undefined) owners.set(path, owner);
  }
  return {
    passwd: await readRegular(roots, '/etc/passwd'),
    group: await readRegular(roots, '/etc/group'),
    owners,
  };
}

async function ownerOf(
  roots: readonly string[],
  path: string,
): Promise<{ uid: number; gid: number } | undefined> {
  const found = await findInImage(roots, path, 'stop');
  return found === undefined ? undefined : { uid: found.status.uid, gid: found.status.gid };
}

async function readRegular(roots: readonly string[], path: string): Promise<string> {
  const found = await findInImage(roots, path, 'stop');
  if (found?.status.isFile() !== true || found.status.size > maxAccountFileBytes) return '';
  let file: FileHandle;
  try {
    // A FIFO would block the open, a link could lead out of the image.
    file = await open(found.file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return '';
  }
  try {
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}
