import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { mkdir, mkdtemp, rename } from 'node:fs/promises';
import { createServer } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * The directory of build results between runs: packages, board images, snapshots. Deleting it only
 * costs time.
 */
export function cacheRoot(env: NodeJS.ProcessEnv = process.env): string {
  const xdg = env['XDG_CACHE_HOME'];
  return join(xdg !== undefined && xdg.startsWith('/') ? xdg : join(homedir(), '.cache'), 'wherry');
}

/**
 * The name of a result in the cache: a hash over all its inputs. The boundaries of the parts count,
 * so `['ab', 'c']` and `['a', 'bc']` differ.
 */
export function contentKey(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : part;
    hash.update(`${bytes.byteLength}:`).update(bytes);
  }
  return hash.digest('hex').slice(0, 24);
}

/** The content of files as parts of a key. Their names do not count. */
export function fileParts(paths: readonly string[]): Buffer[] {
  return paths.map((path) => readFileSync(path));
}

/**
 * Returns the directory of a result, and builds it first if it does not exist. A result appears by
 * one rename, so a killed build leaves no partial result. A lock prevents two processes from
 * building the same result.
 * @param kind of result and its board or architecture, e.g. `image-virt-armv8`; of each kind a few
 *   old results are kept
 * @param key from {@link contentKey}
 * @param build fills the empty directory that it receives; files that refer to each other by path
 *   must use the final directory, its second argument
 * @param root where to keep it
 */
export async function cached(
  kind: string,
  key: string,
  build: (dir: string, finalDir: string) => Promise<void>,
  root = cacheRoot(),
): Promise<string> {
  await mkdir(root, { recursive: true });
  const finalDir = join(root, `${kind}-${key}`);
  if (touch(finalDir)) return finalDir;
  const unlock = await lock(finalDir);
  try {
    if (touch(finalDir)) return finalDir;
    sweep(root, kind, key);
    const dir = await mkdtemp(join(root, `tmp.${process.pid}.`));
    try {
      await build(dir, finalDir);
      await rename(dir, finalDir);
    } catch (error) {
      rmSync(dir, { recursive: true, force: true });
      throw error;
    }
    return finalDir;
  } finally {
    unlock();
  }
}

const keepUnusedMs = 2 * 3600_000;
const keepNewest = 3;

/**
 * Removes the remains of killed builds, and results of this kind that are neither recent nor
 * recently used.
 */
function sweep(root: string, kind: string, key: string): void {
  const results: { path: string; usedMs: number }[] = [];
  for (const entry of readdirSync(root)) {
    const path = join(root, entry);
    const pid = /^tmp\.(\d+)\./.exec(entry)?.[1];
    if (pid !== undefined && !processAlive(Number(pid))) rmSync(path, { recursive: true, force: true });
    const result = entry.startsWith(`${kind}-`) && /^[0-9a-f]{24}$/.test(entry.slice(kind.length + 1));
    if (result && !entry.endsWith(key)) results.push({ path, usedMs: statSync(path).mtimeMs });
  }
  results.sort((a, b) => b.usedMs - a.usedMs);
  for (const { path, usedMs } of results.slice(keepNewest - 1)) {
    if (Date.now() - usedMs > keepUnusedMs) rmSync(path, { recursive: true, force: true });
  }
}

/** Marks a result as used now; false if there is none. */
function touch(dir: string): boolean {
  try {
    utimesSync(dir, new Date(), new Date());
    return true;
  } catch {
    return false;
  }
}

/**
 * Waits for a lock and takes it. The lock is a socket in Linux's abstract namespace, which the
 * kernel frees when its holder dies for any reason.
 */
async function lock(path: string): Promise<() => void> {
  for (;;) {
    const server = createServer();
    const taken = await new Promise<boolean>((resolve, reject) => {
      server.once('listening', () => resolve(true));
      server.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EADDRINUSE') resolve(false);
        else reject(error);
      });
      server.listen(`\0wherry-${contentKey([path])}`);
    });
    if (taken) return () => void server.close();
    await sleep(200);
  }
}

/** Whether a process with this id runs. */
export function processAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
