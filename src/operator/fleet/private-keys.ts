import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { LeaveOut } from '../../image/tree/index.ts';

/** Larger files are not keys. */
const maxKeyBytes = 64 * 1024;

/**
 * Armored keys (RFC 7468, RFC 9580 §6.2, OpenSSH), and keys of GnuPG's agent in both of its forms.
 */
const privateKey = /^(?:.*\n)?-----BEGIN [A-Z ]*PRIVATE KEY|^Key: \(|^\(\d+:(?:protected-)?private-key/m;

const usualNames = /\.(?:key|pem|asc|age)$|^id_[a-z0-9]+$/;

/**
 * The same decisions, and each private key that stays in the image is passed to `onKey`. An app may
 * need it, so it is not left out. Only files are read that others may not read, or with the usual
 * names of keys.
 */
export function watchingKeys(leaveOut: LeaveOut, onKey: (file: string) => void): LeaveOut {
  return async (file, status) => {
    const found = await leaveOut(file, status);
    const isSmall = status.isFile() && status.size > 0 && status.size <= maxKeyBytes;
    if (found !== undefined || !isSmall) return found;
    const isLikely = (status.mode & 0o007) === 0 || usualNames.test(basename(file));
    if (isLikely && privateKey.test(await readFile(file, 'latin1'))) onKey(file);
    return undefined;
  };
}

/** What to tell the author of an image with these keys in it; undefined if there are none. */
export function keyNote(files: readonly string[]): string | undefined {
  const [first] = files;
  if (first === undefined) return undefined;
  const which =
    files.length === 1 ? `a private key, ${first}` : `${files.length} private keys, such as ${first}`;
  return `the image has ${which}; everybody who gets the image can read it`;
}
