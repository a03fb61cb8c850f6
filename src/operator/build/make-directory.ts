import { existsSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { localErrorOf, Refusal } from '../../core/refusal/index.ts';

/**
 * Makes `path`, and the directories above it that are missing. The recursive `mkdir` of Node 20
 * never ends where the kernel answers ENOENT although the directory above is there, as below /proc.
 *
 * @param mode of what is made
 * @throws Refusal `not-found` where the directory above takes no directories
 */
export async function makeDirectory(path: string, mode = 0o777): Promise<void> {
  if (await isMade(path, mode)) return;
  const above = dirname(resolve(path));
  if (!existsSync(above)) await makeDirectory(above, mode);
  // Once more in any case: somebody else may have made the directory above meanwhile.
  if (await isMade(path, mode)) return;
  throw new Refusal(
    'not-found',
    `${path} cannot be made: the directory ${above} takes no directories; name another place`,
  );
}

/** Whether it is there now; false says that the kernel finds no directory to make it in. */
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
