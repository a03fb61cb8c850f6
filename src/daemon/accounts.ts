import { constants } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { App } from '../appc/index.ts';
import type { PodImage } from '../pod/index.ts';

const maxAccountFileBytes = 256 * 1024;

/**
 * Reads from a mounted image what decides user and group of an app (aci.md, `user` and `group`). The image's own links are
 * never followed: an image whose `/etc` is a link to somewhere else has no account files.
 *
 * @param root the image's rootfs, mounted read-only
 */
export async function readAccounts(
  root: string,
  apps: readonly App[],
): Promise<Pick<PodImage, 'passwd' | 'group' | 'owners'>> {
  const owners = new Map<string, { uid: number; gid: number }>();
  for (const path of new Set(apps.flatMap((app) => [app.user, app.group]))) {
    if (!path.startsWith('/')) continue;
    const owner = await ownerOf(root, path);
    if (owner !== undefined) owners.set(path, owner);
  }
  return {
    passwd: await readRegular(root, 'etc/passwd'),
    group: await readRegular(root, 'etc/group'),
    owners,
  };
}

async function ownerOf(root: string, path: string): Promise<{ uid: number; gid: number } | undefined> {
  const components = path.split('/').filter((part) => part !== '');
  if (components.includes('..') || !(await hasPlainParents(root, components))) return undefined;
  const found = await lstat(join(root, ...components)).catch(() => undefined);
  return found === undefined ? undefined : { uid: found.uid, gid: found.gid };
}

async function readRegular(root: string, path: string): Promise<string> {
  const components = path.split('/');
  if (!(await hasPlainParents(root, components))) return '';
  let file: FileHandle;
  try {
    // A FIFO would block the open, a link would lead out of the image.
    file = await open(join(root, path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return '';
  }
  try {
    const { size } = await file.stat();
    if (!(await file.stat()).isFile() || size > maxAccountFileBytes) return '';
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

/** Whether every directory on the way is a directory and not a link. The image is read-only, so this cannot change. */
async function hasPlainParents(root: string, components: readonly string[]): Promise<boolean> {
  for (let depth = 1; depth < components.length; depth++) {
    const parent = await lstat(join(root, ...components.slice(0, depth))).catch(() => undefined);
    if (parent?.isDirectory() !== true) return false;
  }
  return true;
}
