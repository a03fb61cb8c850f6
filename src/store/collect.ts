import type { Disk } from './disk.ts';

/** Where things are kept. */
export interface StoreDirectories {
  readonly images: string;
  readonly partial: string;
  readonly pods: string;
}

/** What must stay: whatever the current, previous and pending deployment need. */
export interface Roots {
  /** Of objects: images and rendered trees. */
  readonly imageIds: Iterable<string>;
  /** Names of jobs below `partial/`. */
  readonly jobs: Iterable<string>;
  readonly podUuids: Iterable<string>;
}

export interface Collected {
  /** Paths that were removed, sorted within each directory. */
  readonly removed: readonly string[];
  readonly freedBytes: number;
}

/**
 * Removes everything that no root reaches: images, half-done objects, partial downloads, pods with their bundles and layers.
 * It may be interrupted anywhere; the next call removes the rest. Nothing may be added to the directories meanwhile that
 * `roots` does not name.
 */
export async function collect(disk: Disk, directories: StoreDirectories, roots: Roots): Promise<Collected> {
  const kept: readonly [directory: string, names: ReadonlySet<string>][] = [
    [directories.images, new Set([...roots.imageIds].map((id) => `${id}.erofs`))],
    [directories.partial, new Set(roots.jobs)],
    [directories.pods, new Set(roots.podUuids)],
  ];
  const removed: string[] = [];
  let freedBytes = 0;
  for (const [directory, names] of kept) {
    const garbage = (await disk.list(directory)).filter((name) => !names.has(name));
    for (const name of garbage) {
      const path = `${directory}/${name}`;
      freedBytes += (await disk.look(path))?.allocatedBytes ?? 0;
      await disk.remove(path);
      removed.push(path);
    }
    if (garbage.length > 0) await disk.syncDirectory(directory);
  }
  return { removed, freedBytes };
}
