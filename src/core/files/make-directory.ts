import { existsSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { localErrorOf, Refusal } from '../refusal/index.ts';

/**
 * Makes `path` and its missing parents. The recursive `mkdir` of Node 20 never ends where the
 * kernel returns ENOENT although the parent exists, as below /proc.
 *
 * @param mode of the directories that are made
 * @throws Refusal `not-found` where no directory can be made in the parent
 */
export async function makeDirectory(path: string, mode = 0o777): Promise<void> {
  if (await isMade(path, mode)) return;
  const above = dirname(resolve(path));
  if (!existsSync(above)) await makeDirectory(above, mode);
  // Once more in any case: another process may have made the parent meanwhile.
  if (await isMade(path, mode)) return;
  throw new Refusal(
    'not-found',
    `${path} cannot be made: the directory ${above} takes no directories; name another place`,
  );
}

/** Whether the directory exists now; false when its parent is missing. */
async function isMade(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (error) {
    const code = localErrorOf(error)?.code;
    if (code === 'ENOENT') return false;
    if (code === 'EEXIST' && (await stat(path).catch(() => undefined))?.isDirectory() === true) return true;
    throw error;
  }
}
