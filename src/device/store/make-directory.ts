import { existsSync, mkdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { localErrorOf, Refusal } from '../../core/refusal/index.ts';

/**
 * Makes `path`, and the directories above it that are missing. The recursive `mkdir` of Node 20
 * never ends where the kernel answers ENOENT although the directory above is there, as below /proc.
 *
 * @throws Refusal `not-found` where the directory above takes no directories
 */
export function makeDirectorySync(path: string): void {
  if (existsSync(path)) return;
  const above = dirname(resolve(path));
  if (above !== resolve(path)) makeDirectorySync(above);
  try {
    mkdirSync(path);
  } catch (cause) {
    const code = localErrorOf(cause)?.code;
    // Somebody else may have made it meanwhile.
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT') throw cause;
    throw new Refusal(
      'not-found',
      `${path} cannot be made: the directory ${above} takes no directories; name another place`,
      { cause },
    );
  }
}
