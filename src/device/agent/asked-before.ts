import { readFile, rename, writeFile } from 'node:fs/promises';

/**
 * The requests that were answered in this boot, by digest. The file is in `/run`, so it survives
 * wherryd but not a reboot. That suffices, because a request names the boot that it is for.
 */

/** Requests expire within an hour. So many in a day and an hour are an attack. */
const mostRequests = 256;

/**
 * How long a mark is kept after the deadline of its request, in seconds: the clock may be set back
 * meanwhile.
 */
const keptSeconds = 86_400;

/**
 * Remembers a request.
 * @param id SHA-256 of its payload
 * @param expires its deadline, as `nowSeconds` in seconds since 1970
 * @returns false when it was answered before, or when no more can be remembered
 */
export async function rememberRequest(
  path: string,
  { id, expires, nowSeconds }: { readonly id: string; readonly expires: number; readonly nowSeconds: number },
): Promise<boolean> {
  const known = await readFile(path, 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  });
  const marks = known
    .split('\n')
    .filter((mark) => mark !== '' && Number(mark.split(' ')[1]) + keptSeconds > nowSeconds);
  if (marks.some((mark) => mark.startsWith(id)) || marks.length >= mostRequests) return false;
  const next = `${path}.new`;
  await writeFile(next, [...marks, `${id} ${expires}`, ''].join('\n'), { mode: 0o600 });
  await rename(next, path);
  return true;
}
