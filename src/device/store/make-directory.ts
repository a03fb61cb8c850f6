import { existsSync, mkdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { localErrorOf, Refusal } from '../../core/refusal/index.ts';

/**
 * Creates `path` and missing parents. The recursive `mkdir` of Node 20 never ends where the kernel
 * returns ENOENT although the parent exists, as below /proc.
 *
 * @throws Refusal `not-found` where no directory can be created in the parent
 */
export function makeDirectorySync(path: string): void {
  if (existsSync(path)) return;
  const above = dirname(resolve(path));
  if (above !== resolve(path)) makeDirectorySync(above);
  try {
    mkdirSync(path);
  } catch (cause) {
    const code = localErrorOf(cause)?.code;
    // Another process may have created it meanwhile.
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT') throw cause;
    throw new Refusal(
      'not-found',
      `${path} cannot be made: the directory ${above} takes no directories; name another place`,
      { cause },
    );
  }
}
