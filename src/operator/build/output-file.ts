import { randomBytes } from 'node:crypto';
import {
  accessSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
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

/** A file to write as a whole. */
export interface WholeFile {
  readonly path: string;
  readonly content: string | Uint8Array;
  readonly mode?: number;
  /** The sentence of the refusal when the file exists. Without it the file is replaced. */
  readonly whenThere?: string;
}

/**
 * Writes all files or none: they take their names, the last one first, once all are written. The
 * calls are synchronous, so that no signal ends the process in between.
 * @throws Refusal that names the file: as `writeOutput`, and `input-invalid` with `whenThere`
 */
export async function writeFiles(files: readonly WholeFile[]): Promise<void> {
  for (const { path } of files) await naming(path, () => refuseSpecial(path));
  writeAll(files);
}

function writeAll(files: readonly WholeFile[]): void {
  const [first, ...others] = files;
  if (first === undefined) return;
  const { path, content, mode = 0o644, whenThere } = first;
  const whole = ownPath(path);
  try {
    writeFileSync(whole, content, { flag: 'wx', mode });
    writeAll(others);
    if (whenThere === undefined) renameSync(whole, path);
    else placeNew(whole, path, others);
  } catch (error) {
    if (whenThere === undefined || localErrorOf(error)?.code !== 'EEXIST') throw named(path, error);
    throw new Refusal('input-invalid', whenThere, { cause: error });
  } finally {
    rmSync(whole, { force: true });
  }
}

/**
 * Unlike a rename, a link fails when the file exists. Then the others, which are new, are removed.
 */
function placeNew(whole: string, path: string, others: readonly WholeFile[]): void {
  try {
    linkOrCopy(whole, path);
  } catch (error) {
    for (const other of others) if (other.whenThere !== undefined) rmSync(other.path, { force: true });
    throw error;
  }
}

function linkOrCopy(whole: string, path: string): void {
  try {
    linkSync(whole, path);
  } catch (error) {
    // A file system without hard links, for example that of a memory card.
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (!['EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK'].includes(code)) throw error;
    copyFileSync(whole, path, constants.COPYFILE_EXCL);
  }
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
  if (output === '') throw new Refusal('input-invalid', 'the output has no name; name a file to write');
  const status = await stat(output).catch((error: unknown) => {
    if (localErrorOf(error)?.code === 'ENOENT') return undefined;
    throw error;
  });
  if (status === undefined || status.isFile()) return;
  const what = status.isDirectory() ? 'a directory' : 'not a regular file';
  throw new Refusal('input-invalid', `${output} is ${what}; name a file to write`);
}

async function naming<T>(output: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw named(output, error);
  }
}

/** Whether a copy failed because of the file that it makes; its error names the source first. */
function isOfCopy({ code, path = '', dest }: NonNullable<ReturnType<typeof localErrorOf>>): boolean {
  if (dest?.includes(ownPrefix) !== true) return false;
  if (code === 'EACCES' || code === 'EPERM') return isReadable(path);
  return ['ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS'].includes(code);
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/** Makes an error of a temporary file name the output that the user gave. */
function named(output: string, error: unknown): unknown {
  const local = localErrorOf(error);
  if (local === undefined) return error;
  const isOwn = isOfCopy(local) || local.path === undefined || local.path.includes(ownPrefix);
  if (!isOwn) return asLocalRefusal(error);
  if (local.code === 'ENOENT' && !isRefusal(error, 'not-found')) {
    const directory = dirname(resolve(output));
    // A directory of the kernel, such as /proc, exists but accepts no new files.
    const problem = existsSync(directory) ? 'takes no files' : 'does not exist';
    return new Refusal('not-found', `${output} cannot be written: the directory ${directory} ${problem}`, {
      cause: error,
    });
  }
  return asLocalRefusal(error, output);
}
