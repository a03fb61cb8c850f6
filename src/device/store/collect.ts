import type { Disk } from './disk.ts';

/** The directories of the store. */
export interface StoreDirectories {
  readonly images: string;
  readonly partial: string;
  readonly pods: string;
  /** Absent where there are none. */
  readonly secrets?: string;
  /** Documents of the metadata service. */
  readonly metadata: string;
}

/** The roots of collection: everything that the current, previous and pending deployment need. */
export interface Roots {
  /** IDs of objects: images and rendered trees. */
  readonly objectIds: Iterable<string>;
  /** Names of jobs below `partial/`. */
  readonly jobs: Iterable<string>;
  readonly podUuids: Iterable<string>;
  /** Digests of sealed values. */
  readonly secretDigests: Iterable<string>;
}

export interface Collected {
  /** Paths that were removed, sorted within each directory. */
  readonly removed: readonly string[];
  readonly freedBytes: number;
}

/** One file or directory that no root names. */
export interface Garbage {
  /**
   * Full path of an image, a half-done object, a partial download, or a pod with its bundles and
   * layers.
   */
  readonly path: string;
  readonly directory: string;
  readonly allocatedBytes: number;
}

/** Finds everything that no root names, sorted within each directory. Changes nothing. */
export async function findGarbage(
  disk: Disk,
  directories: StoreDirectories,
  roots: Roots,
): Promise<readonly Garbage[]> {
  const pods = [...roots.podUuids];
  const kept: readonly [directory: string, names: ReadonlySet<string>][] = [
    [directories.images, new Set([...roots.objectIds].map((id) => `${id}.erofs`))],
    [directories.partial, new Set(roots.jobs)],
    [directories.pods, new Set(pods)],
    [directories.metadata, new Set(pods.map((uuid) => `${uuid}.json`))],
    ...secretsKept(directories, roots),
  ];
  const garbage: Garbage[] = [];
  for (const [directory, names] of kept) {
    for (const name of await disk.list(directory)) {
      if (names.has(name)) continue;
      const path = `${directory}/${name}`;
      garbage.push({ path, directory, allocatedBytes: (await disk.look(path))?.allocatedBytes ?? 0 });
    }
  }
  return garbage;
}

function secretsKept(
  { secrets }: StoreDirectories,
  { secretDigests }: Roots,
): [directory: string, names: ReadonlySet<string>][] {
  if (secrets === undefined) return [];
  return [[secrets, new Set([...secretDigests].map((digest) => `${digest}.cred`))]];
}

/**
 * Removes everything that no root names. It may be interrupted anywhere; the next call removes the
 * rest. Meanwhile the caller must add nothing to the directories that `roots` does not name.
 */
export async function collect(disk: Disk, directories: StoreDirectories, roots: Roots): Promise<Collected> {
  const garbage = await findGarbage(disk, directories, roots);
  for (const { path } of garbage) await disk.remove(path);
  for (const directory of new Set(garbage.map((one) => one.directory))) await disk.syncDirectory(directory);
  return {
    removed: garbage.map(({ path }) => path),
    freedBytes: garbage.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0),
  };
}
