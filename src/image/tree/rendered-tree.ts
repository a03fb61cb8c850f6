import type { SourceEntry } from './source-tree.ts';
import type { TarEntry } from '../tar/index.ts';

/**
 * Trees of files as values, and how images are laid over each other (ace.md#filesystem-setup).
 * Contents stay where they are: a file refers to its own.
 */

export type Meta = Pick<TarEntry, 'mode' | 'uid' | 'gid' | 'mtime' | 'xattrs'>;

/** A file, link or FIFO; names that are hard links of each other share one. */
export interface Leaf {
  readonly kind: 'file' | 'symlink' | 'fifo';
  readonly meta: Meta;
  /** The target of a symbolic link; otherwise ''. */
  readonly target: string;
  readonly sizeBytes: number;
  readonly content?: Content;
  /** Whether it has more than one name in its archive. */
  readonly isShared?: boolean;
}

/**
 * Where the bytes of a file are; `below`: at the file's own path below that directory, for trees on
 * a disk.
 */
export type Content = NonNullable<SourceEntry['content']> | { readonly below: string };

export interface Directory {
  readonly kind: 'directory';
  readonly meta: Meta;
  /**
   * Whether no entry named it: then owner, mode and time of another directory in its place have
   * precedence.
   */
  readonly isImplied: boolean;
  readonly children: ReadonlyMap<string, Leaf | Directory>;
}

export const impliedMeta: Meta = { mode: 0o755, uid: 0, gid: 0, mtime: 0, xattrs: [] };

export const emptyTree: Directory = {
  kind: 'directory',
  meta: impliedMeta,
  isImplied: true,
  children: new Map(),
};

/**
 * Lays `upper` over `lower`: directories are merged, with the properties of the upper one; anything
 * else replaces what was there, even a link to a directory ("the link MUST NOT be followed and it
 * MUST be removed and replaced"). Not associative: images are laid one by one, from the lowest up.
 */
export function overlay(lower: Directory, upper: Directory): Directory {
  const children = new Map(lower.children);
  for (const [name, node] of upper.children) {
    const below = children.get(name);
    const isMerged = node.kind === 'directory' && below?.kind === 'directory';
    children.set(name, isMerged ? overlay(below, node) : node);
  }
  const said = upper.isImplied ? lower : upper;
  return { kind: 'directory', meta: said.meta, isImplied: said.isImplied, children };
}

/**
 * The tree after a path whitelist: the listed paths, and the directories that lead to them. A
 * listed directory does not include its content ("complete and absolute set"); an empty list has no
 * effect.
 */
export function whitelisted(tree: Directory, paths: readonly string[]): Directory {
  return filtered(tree, pathFilter(paths));
}

/** A path whitelist, prepared to be applied; it may name every file of many images. */
export interface PathFilter {
  readonly listed: ReadonlySet<string>;
  /** Directories above listed paths. */
  readonly leading: ReadonlySet<string>;
}

/** Undefined for an empty whitelist. */
export function pathFilter(paths: readonly string[]): PathFilter | undefined {
  if (paths.length === 0) return undefined;
  const listed = new Set<string>();
  const leading = new Set<string>();
  for (const path of paths) {
    const names = path.split('/').filter((name) => name !== '' && name !== '.');
    listed.add(names.join('/'));
    for (let depth = 1; depth < names.length; depth++) leading.add(names.slice(0, depth).join('/'));
  }
  return { listed, leading };
}

/** As `whitelisted`. */
export function filtered(tree: Directory, filter: PathFilter | undefined): Directory {
  if (filter === undefined) return tree;
  const { listed, leading } = filter;
  const keep = (directory: Directory, at: string): Directory => {
    const children = new Map<string, Leaf | Directory>();
    for (const [name, node] of directory.children) {
      const path = `${at}${name}`;
      const isDirectory = node.kind === 'directory';
      if (!listed.has(path) && !(isDirectory && leading.has(path))) continue;
      children.set(name, isDirectory ? keep(node, `${path}/`) : node);
    }
    return { ...directory, children };
  };
  return keep(tree, '');
}

/**
 * The tree as entries of an archive, below `rootfs`, in the order of `arrange`: parents before
 * children, names in the order of their bytes, the later names of a file as links to the first.
 * Entries are created on demand and not kept, because a tree may be large.
 */
export function sourceEntries(tree: Directory): Iterable<SourceEntry> {
  return { [Symbol.iterator]: () => entriesAt(tree, 'rootfs', new Map()) };
}

function* entriesAt(
  node: Leaf | Directory,
  path: string,
  firstNames: Map<Leaf, string>,
): Generator<SourceEntry, void, undefined> {
  const none = { target: '', sizeBytes: 0, content: undefined, inode: undefined };
  if (node.kind === 'directory') {
    yield { ...node.meta, ...none, path, type: 'directory' };
    for (const [name, child] of inByteOrder(node.children)) {
      yield* entriesAt(child, `${path}/${name}`, firstNames);
    }
    return;
  }
  const { kind, meta, target, sizeBytes } = node;
  if (node.isShared === true) {
    const first = firstNames.get(node);
    if (first !== undefined) {
      yield { ...meta, ...none, path, type: 'link', target: first, xattrs: [] };
      return;
    }
    firstNames.set(node, path);
  }
  yield { ...meta, ...none, path, type: kind, target, sizeBytes, content: contentAt(node.content, path) };
}

function inByteOrder(children: Directory['children']): (readonly [string, Leaf | Directory])[] {
  return [...children]
    .map(([name, child]) => ({ bytes: Buffer.from(name), name, child }))
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
    .map(({ name, child }) => [name, child]);
}

function contentAt(content: Content | undefined, path: string): SourceEntry['content'] {
  if (content === undefined || !('below' in content)) return content;
  return { file: `${content.below}/${path.slice('rootfs/'.length)}` };
}

/** A tree that grows by the entries of one archive, in its order. */
export class TreeOfArchive {
  readonly #root = mutableDirectory(true, impliedMeta);
  readonly #metas = new Map<string, Meta>();

  /** Adds an entry below `rootfs`; the archive reader has checked its path and its link. */
  add(entry: TarEntry, content?: Content): void {
    const names = entry.path.split('/').slice(1);
    const name = names.pop();
    const { type, target, sizeBytes } = entry;
    const meta = this.#metaOf(entry);
    if (name === undefined) {
      Object.assign(this.#root, { meta, isImplied: false });
      return;
    }
    const parent = this.#directory(names);
    const there = parent.children.get(name);
    if (type === 'directory') {
      if (there?.kind === 'directory') Object.assign(there, { meta, isImplied: false });
      else parent.children.set(flat(name), mutableDirectory(false, meta));
    } else if (type === 'link') {
      const linked = this.#find(target.split('/').slice(1));
      if (linked === undefined) throw new Error('the reader lets no link to nothing pass');
      Object.assign(linked, { isShared: true });
      parent.children.set(flat(name), linked);
    } else {
      const body = content === undefined ? {} : { content };
      parent.children.set(flat(name), { kind: type, meta, target, sizeBytes, ...body });
    }
  }

  get tree(): Directory {
    return this.#root;
  }

  /**
   * Shares equal properties between files, because a tree of a hundred thousand is held in memory.
   */
  #metaOf({ mode, uid, gid, mtime, xattrs }: TarEntry): Meta {
    const meta = { mode, uid, gid, mtime, xattrs };
    if (xattrs.length > 0) return meta;
    const key = `${mode} ${uid} ${gid} ${mtime}`;
    const known = this.#metas.get(key);
    if (known === undefined) this.#metas.set(key, meta);
    return known ?? meta;
  }

  #directory(names: readonly string[]): MutableDirectory {
    let directory = this.#root;
    for (const name of names) {
      const child = directory.children.get(name);
      if (child !== undefined && child.kind !== 'directory') {
        throw new Error('the reader lets no path through a file pass');
      }
      const next = child ?? mutableDirectory(true, impliedMeta);
      if (child === undefined) directory.children.set(flat(name), next);
      directory = next;
    }
    return directory;
  }

  #find(names: readonly string[]): Leaf | undefined {
    let node: Leaf | MutableDirectory | undefined = this.#root;
    for (const name of names) node = node?.kind === 'directory' ? node.children.get(name) : undefined;
    return node === undefined || node.kind === 'directory' ? undefined : node;
  }
}

/** A copy of a name: a substring in V8 keeps the whole path in memory. */
function flat(name: string): string {
  return Buffer.from(name).toString();
}

interface MutableDirectory extends Directory {
  meta: Meta;
  isImplied: boolean;
  readonly children: Map<string, Leaf | MutableDirectory>;
}

function mutableDirectory(isImplied: boolean, meta: Meta): MutableDirectory {
  return { kind: 'directory', meta, isImplied, children: new Map() };
}
