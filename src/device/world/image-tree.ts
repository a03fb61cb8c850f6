import { lstat, readlink } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { join } from 'node:path';

/** How many links Linux follows in one path (path_resolution(7)). */
const maxLinks = 40;
const maxComponents = 2048;

/** A resolved path in the tree of an image. */
export interface FoundInImage {
  /** The path as the app sees it, without links. */
  readonly path: string;
  /** The path on the host; only its last component may be a link. */
  readonly file: string;
  /** The links that led there, as the app sees them, in the order in which they were followed. */
  readonly links: readonly string[];
  readonly status: Stats;
}

/** Where the resolution of a path ended. */
interface Reached {
  /** The path without links; its last components may be missing in the image. */
  readonly place: string;
  readonly links: readonly string[];
  /** The uppermost layer that has the place; undefined if none has it. */
  readonly layer?: string;
  /**
   * Set if the path leads up again from a directory that the image lacks: where it leads depends on
   * whether a volume makes that directory.
   */
  readonly climbs?: true;
}

/**
 * Resolves a path in an image's tree as the kernel does for the app: links are relative to the
 * image's root and never lead out of it.
 *
 * @param roots root directories of mounted, read-only layers, the uppermost first; directories of
 *   the same name are merged
 * @param path absolute
 * @param links whether links are followed; if not, the last component may be a link, and any other
 *   link ends the search
 * @returns undefined when nothing is found
 */
export async function findInImage(
  roots: readonly string[],
  path: string,
  links: 'follow' | 'stop' = 'follow',
): Promise<FoundInImage | undefined> {
  const reached = await follow(roots, path, links);
  if (reached?.layer === undefined) return undefined;
  const file = join(reached.layer, reached.place);
  return { path: reached.place, file, links: reached.links, status: await lstat(file) };
}

/**
 * Where a path leads that the image may lack: past every link on the way, also one whose target is
 * missing.
 *
 * @returns undefined for links in a circle
 */
export async function placeInImage(
  roots: readonly string[],
  path: string,
): Promise<Omit<Reached, 'layer'> | undefined> {
  return await follow(roots, path, 'follow');
}

async function follow(
  roots: readonly string[],
  path: string,
  links: 'follow' | 'stop',
): Promise<Reached | undefined> {
  const pending = componentsOf(path).reverse();
  // The directories down to the current one, each with the layers that contain it.
  const trail = [{ name: '', layers: roots }];
  const followed: string[] = [];
  const pathOf = (...names: readonly string[]) =>
    join('/', ...trail.slice(1).map(({ name }) => name), ...names);
  while (pending.length > 0) {
    const name = pending.pop() ?? '';
    if (name === '..') {
      if (links === 'stop') return undefined;
      if (trail.length > 1) trail.pop();
      continue;
    }
    const found = await layersWith(trail, name);
    const top = found[0];
    if (top?.status.isSymbolicLink() === true && links === 'follow') {
      followed.push(pathOf(name));
      if (followed.length > maxLinks) return undefined;
      const target = await readlink(join(top.layer, ...trail.map((step) => step.name), name));
      pending.push(...componentsOf(target).reverse());
      if (pending.length > maxComponents) return undefined;
      if (target.startsWith('/')) trail.length = 1;
      continue;
    }
    if (top === undefined || (pending.length > 0 && !top.status.isDirectory())) {
      const climbs = pending.includes('..') ? { climbs: true as const } : {};
      return { place: pathOf(name, ...pending.reverse()), links: followed, ...climbs };
    }
    trail.push({ name, layers: found.map(({ layer }) => layer) });
  }
  const layer = trail.length === 1 ? undefined : trail.at(-1)?.layers[0]; // the root itself is in none
  return { place: pathOf(), links: followed, ...(layer === undefined ? {} : { layer }) };
}

/**
 * The layers in which `name` is visible in the innermost directory: a directory is merged with
 * those in lower layers, anything else hides them. A link in a lower layer that an upper directory
 * hides is therefore never followed.
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
