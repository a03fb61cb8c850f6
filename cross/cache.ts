import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';

/** Where build results are kept between runs. Deleting it costs time, nothing else. */
export function cacheRoot(env: NodeJS.ProcessEnv = process.env): string {
  return path.join(env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'wherry');
}

/** A key over everything a result depends on; each part is hashed with its length, so parts cannot run together. */
export function contentKey(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    const bytes = Buffer.from(part);
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return hash.digest('hex').slice(0, 32);
}

/**
 * The directory `<root>/<kind>/<key>`, filled by `fill` when it is not there yet. `fill` writes into a sibling that
 * takes its name only when complete, so an interrupted or a parallel build never leaves half a result.
 */
export async function cachedDirectory(
  root: string,
  kind: string,
  key: string,
  fill: (directory: string) => Promise<void>,
): Promise<string> {
  const wanted = path.join(root, kind, key);
  if (existsSync(wanted)) {
    // A cleaner of old results goes by this time.
    const now = new Date();
    await utimes(wanted, now, now);
    return wanted;
  }
  const building = path.join(root, kind, `.${key}.${randomBytes(4).toString('hex')}`);
  await mkdir(building, { recursive: true });
  try {
    await fill(building);
    await rename(building, wanted).catch((error: unknown) => {
      // Another build of the same content came first; its result is as good.
      if (!existsSync(wanted)) throw error;
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  return wanted;
}
