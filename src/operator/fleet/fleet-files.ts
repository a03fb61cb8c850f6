import { randomBytes } from 'node:crypto';
import { link, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { asLocalRefusal, isRefusal, Refusal, unreadableFile } from '../../core/refusal/index.ts';

/**
 * Replaces a file as a whole: a reader sees the old or the new one, even when several processes
 * write it at once.
 * @throws Refusal that names `file`
 */
export async function replaceFile(file: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
  const whole = temporaryOf(file);
  try {
    await writeFile(whole, content, { flag: 'wx', mode });
    await rename(whole, file);
  } catch (error) {
    await rm(whole, { force: true });
    throw asLocalRefusal(error, file);
  }
}

/** @throws Refusal `not-found` with the sentence `whenMissing`, `input-invalid` */
export async function readText(file: string, whenMissing: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    if (!hasCode(cause, 'ENOENT', 'ENOTDIR')) {
      throw unreadableFile(file, cause);
    }
    throw new Refusal('not-found', whenMissing, { cause });
  }
}

/**
 * Writes a file that must not exist. A process that is killed meanwhile leaves no part of it under
 * that name, if the file system has hard links.
 * @throws Refusal `input-invalid` with `whenThere`
 */
export async function writeNew(
  file: string,
  content: string | Uint8Array,
  whenThere: string,
  mode = 0o644,
): Promise<void> {
  const whole = temporaryOf(file);
  try {
    await writeFile(whole, content, { flag: 'wx', mode });
    // Unlike a rename, a link fails when the file exists.
    await link(whole, file).catch(async (cause: unknown) => {
      if (!hasCode(cause, ...withoutLinks)) throw cause;
      await writeFile(file, content, { flag: 'wx', mode });
    });
  } catch (cause) {
    if (!hasCode(cause, 'EEXIST')) throw asLocalRefusal(cause, file);
    throw new Refusal('input-invalid', whenThere, { cause });
  } finally {
    await rm(whole, { force: true });
  }
}

/** The errors of a file system without hard links, for example that of a memory card. */
const withoutLinks = ['EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK'];

/** The names in a directory; none when it does not exist. */
export async function listed(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (cause) {
    if (hasCode(cause, 'ENOENT')) return [];
    throw cause;
  }
}

export async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch {
    return false;
  }
}

/** A name that no other process uses. */
function temporaryOf(file: string): string {
  return `${file}.${randomBytes(6).toString('hex')}.new`;
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return (
    !isRefusal(error) && error instanceof Error && codes.includes((error as NodeJS.ErrnoException).code ?? '')
  );
}
