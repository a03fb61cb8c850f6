import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isRefusal, Refusal, unreadableFile } from '../../core/refusal/index.ts';
import type { GeneratedKey } from '../../wire/trust/sign.ts';
import { writeFiles } from '../build/index.ts';

export type KeyRole = 'deploy' | 'images';

export type KeyPair = Pick<GeneratedKey, 'privateKey' | 'publicKey'>;

/**
 * Replaces a file as a whole: a reader sees the old or the new one, even when several processes
 * write it at once.
 * @throws Refusal that names `file`
 */
export async function replaceFile(path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
  await writeFiles([{ path, content, mode }]);
}

/** The private half first: it takes its name last. */
export function keyFiles(fleet: string, role: KeyRole, pair: KeyPair) {
  const whenThere = `there is a ${role} key already; devices trust it, so replace it only on purpose (--force)`;
  const at = (name: string) => join(fleet, 'keys', name);
  return [
    { path: at(`${role}.key.asc`), content: pair.privateKey, mode: 0o600, whenThere },
    { path: at(`${role}.pub.asc`), content: pair.publicKey, mode: 0o644, whenThere },
  ];
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

function hasCode(error: unknown, ...codes: string[]): boolean {
  return (
    !isRefusal(error) && error instanceof Error && codes.includes((error as NodeJS.ErrnoException).code ?? '')
  );
}
