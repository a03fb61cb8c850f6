import { lstat, readlink } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { join } from 'node:path';

/** As many links as Linux follows in one path (path_resolution(7)). */
const maxLinks = 40;
const maxComponents = 2048;

/** A path that was followed to its end in the tree of an image. */
export interface FoundInImage {
  /** As the app sees it, without links. */
  readonly path: string;
  /** Where it lies on the host; no component of it is a link. */
  readonly file: string;
  readonly status: Stats;
}

/**
 * Follows a path in an image's tree as the kernel does for the app: links count from the image's
 * own root and never lead out.
 *
 * @param roots root directories of mounted, read-only layers, the uppermost first; directories of
 *   the same name are one
 * @param path absolute
 * @param links whether links are followed; if not, the last component may be one and nothing lies
 *   behind another
 * @returns undefined when there is nothing
 */
export async function findInImage(
  roots: readonly string[],
  path: string,
  links: 'follow' | 'stop' = 'follow',
): Promise<FoundInImage | undefined> {
  const pending = componentsOf(path).reverse();
  // The directories down to where we are, each with the layers that it is part of.
  const trail = [{ name: '', layers: roots }];
  for (let followed = 0; pending.length > 0;) {
    const name = pending.pop() ?? '';
    if (name === '..') {
      if (links === 'stop') return undefined;
      if (trail.length > 1) trail.pop();
      continue;
    }
    const found = await layersWith(trail, name);
    const top = found[0];
    if (top === undefined) return undefined;
    if (top.status.isSymbolicLink() && links === 'follow') {
      followed += 1;
      if (followed > maxLinks) return undefined;
      const target = await readlink(join(top.layer, ...trail.map((step) => step.name), name));
      pending.push(...componentsOf(target).reverse());
      if (pending.length > maxComponents) return undefined;
      if (target.startsWith('/')) trail.length = 1;
      continue;
    }
    if (pending.length > 0 && !top.status.isDirectory()) return undefined;
    trail.push({ name, layers: found.map(({ layer }) => layer) });
  }
  if (trail.length === 1) return undefined; // the root itself
  const names = trail.slice(1).map(({ name }) => name);
  const layer = trail.at(-1)?.layers[0];
  if (layer === undefined) return undefined;
  const file = join(layer, ...names);
  return { path: `/${names.join('/')}`, file, status: await lstat(file) };
}

/**
 * The layers in which `name` is visible in the innermost directory: a directory is merged with
 * those below it, anything else hides them. So a link in a lower layer that an upper directory
 * hides is never walked through.
 */
async function layersWith(
  trail: readonly { readonly name: string; readonly layers: readonly string[] }[],
  name: string,
): Promise<readonly { readonly layer: string; readonly status: Stats }[]> {
  const found: { layer: string; status: Stats }[] = [];
  for (const layer of trail.at(-1)?.layers ?? []) {
    const file = join(layer, ...trail.map((step) => step.name), name);
    const status = await lstat(file).catch(() => undefined);
    if (status === undefined) continue;
    if (found.length > 0 && !status.isDirectory()) break;
    found.push({ layer, status });
    if (!status.isDirectory()) break;
  }
  return found;
}

function componentsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}
