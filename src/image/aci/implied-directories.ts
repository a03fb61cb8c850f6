import { open } from 'node:fs/promises';
import { constants } from 'node:fs';
import { Refusal } from '../../core/refusal/index.ts';
import { impliedDirectory, type TarWriter } from '../tar/index.ts';

/**
 * An image object has an owner and a mode for every directory, even for those that its archive only
 * implied. When the image is laid over another, those of an implied directory must not count. So
 * the object lists such directories in a file beside `rootfs`, where no app sees it.
 */
const name = 'implied';

/** A longer list is left out: then the image is not laid over another. */
const maxListBytes = 1024 * 1024;

/**
 * Writes the list, if there is anything to list.
 * @param paths as `entryPath` returns them; no path has a NUL
 */
export async function writeImpliedDirectories(writer: TarWriter, paths: ReadonlySet<string>): Promise<void> {
  let sizeBytes = 0;
  for (const path of paths) sizeBytes += Buffer.byteLength(path) + 1;
  if (sizeBytes === 0 || sizeBytes > maxListBytes) return;
  await writer.entry({ ...impliedDirectory(name), type: 'file', mode: 0o644, sizeBytes });
  for (const path of paths) await writer.body(Buffer.from(`${path}\0`));
}

/**
 * The list of a mounted object; empty when it has none.
 *
 * @throws Refusal `image-corrupt` for a list that wherry does not write
 */
export async function readImpliedDirectories(directory: string): Promise<ReadonlySet<string>> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(`${directory}/${name}`, flags).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return new Set();
  try {
    const status = await file.stat();
    if (!status.isFile() || status.size > maxListBytes) {
      throw new Refusal('image-corrupt', `${directory} has a list of directories that no image object has`);
    }
    const paths = (await file.readFile('utf8')).split('\0');
    return new Set(paths.slice(0, -1));
  } finally {
    await file.close();
  }
}
