import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';

/**
 * Reads a regular file, or what a link to one leads to. Nothing else is read: a pipe without a
 * writer would block the process, and a device may have no end.
 *
 * @throws an error of the file system: `EISDIR` for a directory, `ENXIO` for a pipe or a device
 */
export function readRegular(path: string): Buffer {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const status = fstatSync(file);
    if (status.isFile()) return readFileSync(file);
    const code = status.isDirectory() ? 'EISDIR' : 'ENXIO';
    throw Object.assign(new Error(`${code}: not a regular file, open '${path}'`), {
      ...{ code, syscall: 'open', path },
    });
  } finally {
    closeSync(file);
  }
}
