import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Debian's libfaketime, which makes the clock of a process faster, for this machine; undefined
 * where it is not installed.
 */
export const fasterClock = readdirSync('/usr/lib')
  .filter((name) => name.endsWith('-linux-gnu'))
  .flatMap((name) => {
    const directory = join('/usr/lib', name, 'faketime');
    try {
      return readdirSync(directory).map((file) => join(directory, file));
    } catch {
      return [];
    }
  })
  .find((path) => path.endsWith('libfaketimeMT.so.1'));
