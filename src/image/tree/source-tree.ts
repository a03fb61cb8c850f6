import { isUtf8 } from 'node:buffer';
import { lstat, readdir, readlink, stat } from 'node:fs/promises';
import type { Stats } from 'node:fs';

import { Refusal } from '../../core/refusal/index.ts';
import { quoted, type Xattr, type TarEntry } from '../tar/index.ts';

/** A file, link or directory to lay over the tree; `path` is absolute in the app's root. */
export type Addition =
  | { readonly path: string; readonly content: Uint8Array; readonly mode: number }
  | { readonly path: string; readonly symlink: string }
  | { readonly path: string; readonly directory: true; readonly mode: number };

/** A file or directory that does not belong in the image. */
export interface LeftOut {
  /** In the app's root. */
  readonly path: string;
  /** What it is. */
  readonly what: string;
}

/**
 * Describes a file or directory that does not belong in an image; undefined for any other.
 * `isSecret` marks one that is also refused if it is named explicitly.
 */
export type LeaveOut = (
  file: string,
  status: Stats,
) => Promise<{ readonly what: string; readonly isSecret: boolean } | undefined>;

/** An entry of an archive to write, and where its body comes from. */
export interface SourceEntry extends TarEntry {
  /** With an offset the body is a part of the file; without one it is the whole file. */
  readonly content:
    { readonly file: string; readonly offset?: number } | { readonly bytes: Uint8Array } | undefined;
  /** Equal for names of the same file. */
  readonly inode: string | undefined;
}

export interface SourceTreeOptions {
  /** The directory that becomes `rootfs`. */
  readonly root: string;
  readonly additions: readonly Addition[];
  /** Owner of everything, in place of the files' own. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /**
   * Later times are set back to this (SOURCE_DATE_EPOCH), seconds since 1970. Additions have it, or
   * 0.
   */
  readonly latest: number | undefined;
  /** By path in the app's root, for example `/bin/ping`. Node cannot read them itself. */
  readonly xattrs: ReadonlyMap<string, readonly Xattr[]>;
  /** Called for everything below `root`; what it describes is left out. */
  readonly leaveOut?: LeaveOut | undefined;
}

export interface SourceTree {
  /**
   * Parents before children, names in the order of their bytes; later names of one file are links
   * to the first.
   */
  readonly entries: readonly SourceEntry[];
  /** Sockets, which have no use without the process that made them. */
  readonly skipped: readonly string[];
  readonly leftOut: readonly LeftOut[];
}

const fileTypes: readonly (readonly [(status: Stats) => boolean, TarEntry['type']])[] = [
  [(status) => status.isFile(), 'file'],
  [(status) => status.isDirectory(), 'directory'],
  [(status) => status.isSymbolicLink(), 'symlink'],
  [(status) => status.isFIFO(), 'fifo'],
];

/**
 * Walks a directory without following links. Refuses with `input-invalid` what an archive must not
 * contain.
 */
export async function readSourceTree(options: SourceTreeOptions): Promise<SourceTree> {
  const entries = new Map<string, SourceEntry>();
  const skipped: string[] = [];
  const leftOut: LeftOut[] = [];
  const top = await stat(options.root).catch((error: unknown) => {
    throw new Refusal('not-found', `the directory ${quoted(options.root)} cannot be read`, { cause: error });
  });
  if (!top.isDirectory()) throw new Refusal('input-invalid', `${quoted(options.root)} is not a directory`);
  await visit(options.root, 'rootfs', top);
  for (const addition of options.additions) add(entries, addition, options);
  return { entries: arrange([...entries.values()]), skipped, leftOut };

  async function visit(file: string, path: string, status: Stats): Promise<void> {
    if (status.isSocket()) {
      skipped.push(inRoot(path));
      return;
    }
    const type = fileTypes.find(([is]) => is(status))?.[1];
    if (type === undefined) {
      throw new Refusal('input-invalid', `${quoted(file)} is a device node; an image cannot have one`);
    }
    entries.set(path, {
      path,
      type,
      target: type === 'symlink' ? await linkTarget(file) : '',
      mode: status.mode & 0o7777,
      uid: options.owner?.uid ?? status.uid,
      gid: options.owner?.gid ?? status.gid,
      mtime: Math.max(0, Math.min(Math.floor(status.mtimeMs / 1000), options.latest ?? Infinity)),
      sizeBytes: type === 'file' ? status.size : 0,
      xattrs: type === 'symlink' ? [] : (options.xattrs.get(inRoot(path)) ?? []),
      content: type === 'file' ? { file } : undefined,
      inode: type === 'file' && status.nlink > 1 ? `${status.dev}:${status.ino}` : undefined,
    });
    if (type !== 'directory') return;
    for (const name of await readdir(file, { encoding: 'buffer' })) {
      if (!isUtf8(name)) {
        throw new Refusal(
          'input-invalid',
          `${quoted(file)} has a name that is not UTF-8: ${name.toString('latin1')}`,
        );
      }
      const child = `${file}/${name.toString()}`;
      const childPath = `${path}/${name.toString()}`;
      const childStatus = await lstat(child);
      const found = await options.leaveOut?.(child, childStatus);
      if (found !== undefined) leftOut.push({ path: inRoot(childPath), what: found.what });
      else await visit(child, childPath, childStatus);
    }
  }
}

async function linkTarget(file: string): Promise<string> {
  const target = await readlink(file, { encoding: 'buffer' });
  if (isUtf8(target)) return target.toString();
  throw new Refusal(
    'input-invalid',
    `${quoted(file)} is a link to a name that is not UTF-8: ${target.toString('latin1')}`,
  );
}

function inRoot(path: string): string {
  return path.slice('rootfs'.length) || '/';
}

function add(entries: Map<string, SourceEntry>, addition: Addition, options: SourceTreeOptions): void {
  const refuse = (rule: string) =>
    new Refusal('input-invalid', `the added path ${quoted(addition.path)} ${rule}`);
  const components = addition.path.split('/').slice(1);
  if (
    !addition.path.startsWith('/') ||
    components.some((name) => name === '' || name === '.' || name === '..')
  ) {
    throw refuse('is not plain and absolute');
  }
  const base = {
    target: '',
    xattrs: [],
    inode: undefined,
    sizeBytes: 0,
    mtime: options.latest ?? 0,
    content: undefined,
  };
  const owner = options.owner ?? { uid: 0, gid: 0 };
  let parent = 'rootfs';
  for (const name of components.slice(0, -1)) {
    parent += `/${name}`;
    const existing = entries.get(parent);
    if (!existing) entries.set(parent, { ...base, ...owner, path: parent, type: 'directory', mode: 0o755 });
    else if (existing.type !== 'directory')
      throw refuse(`lies under ${quoted(inRoot(parent))}, which is no directory`);
  }
  const path = `rootfs${addition.path}`;
  const existing = entries.get(path);
  if ((existing?.type === 'directory') !== 'directory' in addition && existing) {
    throw refuse('would put a file and a directory in the same place');
  }
  if ('directory' in addition) {
    entries.set(path, { ...base, ...owner, path, type: 'directory', mode: addition.mode });
  } else if ('symlink' in addition) {
    entries.set(path, { ...base, ...owner, path, type: 'symlink', mode: 0o777, target: addition.symlink });
  } else {
    const { content: bytes, mode } = addition;
    const content = { bytes };
    entries.set(path, { ...base, ...owner, path, type: 'file', mode, sizeBytes: bytes.length, content });
  }
}

/**
 * Parents before children, names in the order of their bytes; of the names of one inode the later
 * ones become links.
 */
export function arrange(entries: Iterable<SourceEntry>): readonly SourceEntry[] {
  return linked([...entries].sort(byPath));
}

/**
 * By the bytes of the components, so that `a/b` comes before `a.b` and every tool sorts the same.
 */
function byPath(a: SourceEntry, b: SourceEntry): number {
  return Buffer.compare(Buffer.from(a.path.replaceAll('/', '\0')), Buffer.from(b.path.replaceAll('/', '\0')));
}

function linked(entries: readonly SourceEntry[]): SourceEntry[] {
  const first = new Map<string, string>();
  return entries.map((entry) => {
    const target = entry.inode === undefined ? undefined : first.get(entry.inode);
    if (target !== undefined)
      return { ...entry, type: 'link', target, sizeBytes: 0, xattrs: [], content: undefined };
    if (entry.inode !== undefined) first.set(entry.inode, entry.path);
    return entry;
  });
}
