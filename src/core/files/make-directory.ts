import { existsSync } from 'node:fs';
import { mkdir, rmdir, stat } from 'node:fs/promises';
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
  await make(path, mode, []);
}

/**
 * Calls `work` with the directory `path`, which is made when there is none. If `work` fails, the
 * directories that were made for it are removed, unless something else was put there.
 * @throws Refusal as `makeDirectory`
 */
export async function inDirectory<T>(path: string, work: () => Promise<T>, mode = 0o777): Promise<T> {
  const made: string[] = [];
  try {
    await make(path, mode, made);
    return await work();
  } catch (error) {
    for (const directory of made.toReversed()) await rmdir(directory).catch(() => undefined);
    throw error;
  }
}

/** Adds the directories that it makes to `made`, the outermost first. */
async function make(path: string, mode: number, made: string[]): Promise<void> {
  if (await isThere(path, mode, made)) return;
  const above = dirname(resolve(path));
  if (!existsSync(above)) await make(above, mode, made);
  // Once more in any case: another process may have made the parent meanwhile.
  if (await isThere(path, mode, made)) return;
  throw new Refusal(
    'not-found',
    `${path} cannot be made: the directory ${above} takes no directories; name another place`,
  );
}

/** Whether the directory exists now; false when its parent is missing. */
async function isThere(path: string, mode: number, made: string[]): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    made.push(path);
    return true;
  } catch (error) {
    const code = localErrorOf(error)?.code;
    if (code === 'ENOENT') return false;
    if (code === 'EEXIST' && (await stat(path).catch(() => undefined))?.isDirectory() === true) return true;
    throw error;
  }
}
