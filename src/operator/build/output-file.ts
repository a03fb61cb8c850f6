import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { asLocalRefusal, isRefusal, localErrorOf, Refusal } from '../../core/refusal/index.ts';

/** Prefix of the names of temporary files and directories. */
const ownPrefix = '.wherry-';

/** Whether a file or directory has a name as temporary ones have. A killed run leaves them. */
export function isTemporaryName(name: string): boolean {
  return /^\.wherry-[0-9a-f]{16}$/.test(name);
}

/**
 * Writes the file `output` through a temporary file beside it with a unique name: two runs with one
 * output do not mix, and the last to end wins. A run that fails, or that ends by `process.exit`,
 * leaves nothing behind.
 *
 * @param write writes the file at the given path
 * @throws Refusal that names `output`: `no-space`, `not-found`, `input-invalid`
 */
export async function writeOutput<T>(output: string, write: (path: string) => Promise<T>): Promise<T> {
  return await naming(output, async () => {
    if (output === '') throw new Refusal('input-invalid', 'the output has no name; name a file to write');
    await refuseSpecial(output);
    return await whileOwned(ownPath(output), async (path) => {
      const result = await write(path);
      await rename(path, output);
      return result;
    });
  });
}

/**
 * Calls `use` with a temporary directory beside `output`, where there must be room for the result.
 * It is removed in the same cases as the temporary file of `writeOutput`.
 * @throws Refusal as `writeOutput`
 */
export async function withScratch<T>(output: string, use: (directory: string) => Promise<T>): Promise<T> {
  return await naming(output, () =>
    whileOwned(ownPath(output), async (path) => {
      // Synchronous: a process that exits between an asynchronous call and its end would leave it.
      mkdirSync(path, { mode: 0o700 });
      return await use(path);
    }),
  );
}

/** Does not contain the output's name, which may have the maximum length of a name. */
function ownPath(output: string): string {
  return join(dirname(resolve(output)), `${ownPrefix}${randomBytes(8).toString('hex')}`);
}

async function whileOwned<T>(path: string, work: (path: string) => Promise<T>): Promise<T> {
  // Calls that are under way in other threads may fill a directory again.
  const remove = () => rmSync(path, { recursive: true, force: true, maxRetries: 5 });
  process.once('exit', remove);
  try {
    return await work(path);
  } finally {
    await rm(path, { recursive: true, force: true });
    process.off('exit', remove);
  }
}

/**
 * Refuses an output where a rename would replace something that is not a file, such as /dev/null,
 * or would fail only after the work.
 */
async function refuseSpecial(output: string): Promise<void> {
  const status = await stat(output).catch((error: unknown) => {
    if (localErrorOf(error)?.code === 'ENOENT') return undefined;
    throw error;
  });
  if (status === undefined || status.isFile()) return;
  const what = status.isDirectory() ? 'a directory' : 'not a regular file';
  throw new Refusal('input-invalid', `${output} is ${what}; name a file to write`);
}

/** Makes errors of temporary files name the output that the user gave. */
async function naming<T>(output: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const local = localErrorOf(error);
    if (local === undefined) throw error;
    const isOwn = local.path === undefined || local.path.includes(ownPrefix);
    if (!isOwn) throw asLocalRefusal(error);
    if (local.code === 'ENOENT' && !isRefusal(error, 'not-found')) {
      const directory = dirname(resolve(output));
      // A directory of the kernel, such as /proc, exists but accepts no new files.
      const problem = existsSync(directory) ? 'takes no files' : 'does not exist';
      throw new Refusal('not-found', `${output} cannot be written: the directory ${directory} ${problem}`, {
        cause: error,
      });
    }
    throw asLocalRefusal(error, output);
  }
}
