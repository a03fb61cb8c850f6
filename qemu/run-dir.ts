import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheRoot, processAlive } from '../cross/index.ts';
import { PreconditionError } from './preconditions.ts';

/**
 * Creates a directory for one running board, for its disk layer, sockets and console log. It is
 * next to the images, because the system's temporary directory may be in memory. Also removes
 * directories of processes that died.
 */
export function makeRunDir(): string {
  const root = cacheRoot();
  mkdirSync(root, { recursive: true });
  for (const entry of readdirSync(root)) {
    const pid = /^run\.(\d+)\./.exec(entry)?.[1];
    if (pid !== undefined && !processAlive(Number(pid)))
      rmSync(join(root, entry), { recursive: true, force: true });
  }
  const dir = mkdtempSync(join(root, `run.${process.pid}.`));
  // sun_path of unix(7) has room for 107 bytes.
  if (Buffer.byteLength(join(dir, 'console.sock')) > 107) {
    throw new PreconditionError(
      `The path ${dir} is too long for sockets: set XDG_CACHE_HOME to a shorter one.`,
    );
  }
  return dir;
}
