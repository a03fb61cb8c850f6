import { type Directory, impliedMeta, type Leaf, type Meta } from '../../image/tree/index.ts';

/** The difference between two trees, as a tree to lay over the first. */
export interface TreeDelta {
  /**
   * New and changed files, and the directories that lead to them, as they are in the tree above.
   */
  readonly tree: Directory;
  /** Paths such as `/srv/old` that must be removed, without the paths below them. */
  readonly removed: readonly string[];
  /** Whether both trees are the same. */
  readonly isEmpty: boolean;
}

/**
 * The tree to lay over `before`, or over nothing, to get `after`. Files are compared by identity:
 * an unchanged file is the same value in both. A file with a new name is included with all its
 * names, because a hard link cannot point into another archive.
 */
export function treeDelta(before: Directory | undefined, after: Directory): TreeDelta {
  const carried = newlyNamed(before, after);
  const removed: string[] = [];
  const differing = (old: Directory | undefined, now: Directory, at: string): Directory | undefined => {
    const children = new Map<string, Leaf | Directory>();
    for (const [name, node] of now.children) {
      const there = old?.children.get(name);
      if (node.kind !== 'directory') {
        if (carried.has(node)) children.set(name, node);
        continue;
      }
      const below = differing(there?.kind === 'directory' ? there : undefined, node, `${at}/${name}`);
      if (below !== undefined) children.set(name, below);
    }
    for (const name of old?.children.keys() ?? []) {
      if (!now.children.has(name)) removed.push(`${at}/${name}`);
    }
    const isSame = old !== undefined && children.size === 0 && isSameMeta(old.meta, now.meta);
    return isSame ? undefined : { ...now, children };
  };
  const tree = differing(before, after, '');
  const isBare = before === undefined && after.children.size === 0 && isSameMeta(after.meta, impliedMeta);
  return {
    // An archive always has a root.
    tree: tree ?? { ...after, children: new Map() },
    removed: removed.sort(byBytes),
    isEmpty: (tree === undefined || isBare) && removed.length === 0,
  };
}

/**
 * Every path of a tree, as for a path whitelist ("complete and absolute set", aci.md), parents
 * before children.
 */
export function pathsOf(tree: Directory): readonly string[] {
  const paths: string[] = [];
  for (const [path] of walk(tree, '')) paths.push(path);
  return paths.sort(byBytes);
}

function byBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}

/** Files with a name in `after` that they do not have in `before`. */
function newlyNamed(before: Directory | undefined, after: Directory): ReadonlySet<Leaf> {
  const found = new Set<Leaf>();
  const visit = (old: Directory | undefined, now: Directory): void => {
    for (const [name, node] of now.children) {
      const there = old?.children.get(name);
      if (node.kind === 'directory') visit(there?.kind === 'directory' ? there : undefined, node);
      else if (there !== node) found.add(node);
    }
  };
  visit(before, after);
  return found;
}

function* walk(tree: Directory, at: string): Generator<readonly [string, Leaf | Directory], void> {
  for (const [name, node] of tree.children) {
    yield [`${at}/${name}`, node];
    if (node.kind === 'directory') yield* walk(node, `${at}/${name}`);
  }
}

function isSameMeta(one: Meta, other: Meta): boolean {
  return (
    one.mode === other.mode &&
    one.uid === other.uid &&
    one.gid === other.gid &&
    one.mtime === other.mtime &&
    one.xattrs.length === other.xattrs.length &&
    one.xattrs.every(({ name, value }) =>
      other.xattrs.some((there) => there.name === name && Buffer.compare(there.value, value) === 0),
    )
  );
}
