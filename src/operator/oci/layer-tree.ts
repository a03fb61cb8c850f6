import { open, type FileHandle } from 'node:fs/promises';
import { type ArchiveLimits, type FramedEntry, quoted } from '../../image/tar/index.ts';
import { type Directory, impliedMeta, type Leaf, type Meta } from '../../image/tree/index.ts';
import { Refusal } from '../../core/refusal/index.ts';

interface MutableDirectory {
  readonly kind: 'directory';
  meta: Meta;
  readonly children: Map<string, Placed>;
  /** Length of its path in the archive, in UTF-8. */
  readonly pathBytes: number;
}

/** An entry of a directory, and the layer that added it: whiteouts hide lower layers only. */
interface Placed {
  readonly node: Leaf | MutableDirectory;
  layer: number;
}

const whiteout = '.wh.';
const opaque = '.wh..wh..opq';
/** Symbolic links followed for one path; the limit of the kernel (path_resolution(7)). */
const maxLinks = 40;

/**
 * The root file system of the layers, lowest first (image-spec, layer.md), in memory with file
 * contents in one spool file. Paths are resolved within the tree alone, so a layer cannot name
 * anything of the host. A symbolic link on the way to an entry is followed inside the tree, as by
 * programs that unpack such images.
 */
export class LayerTree {
  readonly #limits: ArchiveLimits;
  readonly #latest: number;
  readonly #spoolPath: string;
  readonly #spool: FileHandle;
  readonly #root: MutableDirectory = {
    kind: 'directory',
    meta: impliedMeta,
    children: new Map(),
    pathBytes: Buffer.byteLength('rootfs'),
  };
  #layer = 0;
  #entries = 0;
  #spooledBytes = 0;

  private constructor(spoolPath: string, spool: FileHandle, limits: ArchiveLimits, latest: number) {
    this.#spoolPath = spoolPath;
    this.#spool = spool;
    this.#limits = limits;
    this.#latest = latest;
  }

  /** @param latest seconds since 1970; later times are set back to it */
  static async create(spoolPath: string, limits: ArchiveLimits, latest = Infinity): Promise<LayerTree> {
    return new LayerTree(spoolPath, await open(spoolPath, 'wx+', 0o600), limits, latest);
  }

  /** Begins the next layer. */
  nextLayer(): void {
    this.#layer += 1;
  }

  /** @throws Refusal `archive-path-forbidden`, `archive-link-forbidden`, `archive-too-large` */
  async add(entry: FramedEntry, body: AsyncIterable<Buffer>): Promise<void> {
    this.#entries += 1;
    if (this.#entries > this.#limits.maxEntries) {
      throw new Refusal(
        'archive-too-large',
        `the layers have more than ${this.#limits.maxEntries} entries; allow more with --max-unpacked`,
      );
    }
    const names = namesOf(entry.name, 'archive-path-forbidden');
    const name = names.pop();
    if (name === undefined) {
      if (entry.type === 'directory') this.#root.meta = this.#metaOf(entry);
      return;
    }
    // Bookkeeping files of AUFS have the prefix twice.
    if (names.some((part) => part.startsWith('.wh..wh.'))) return;
    const parent = this.#directory(names, entry.name);
    if (name.startsWith(whiteout)) this.#hide(parent, name);
    else if (isDirectory(entry)) this.#addDirectory(parent, name, entry);
    else if (entry.type === 'link') this.#addHardLink(parent, name, entry);
    else await this.#addLeaf(parent, name, entry, body);
  }

  /** Removes the entry of lower layers where this layer has an entry that is left out. */
  removeLower(path: string): void {
    const names = namesOf(path, 'archive-path-forbidden');
    const name = names.pop();
    const parent = this.#resolve(names, 0);
    if (name !== undefined && parent?.kind === 'directory') this.#hide(parent, `${whiteout}${name}`);
  }

  /** Makes a directory and its parents, if they are missing. */
  ensureDirectory(path: string): void {
    this.#directory(namesOf(path, 'input-invalid'), path);
  }

  /**
   * The content of a small regular file, with links followed within the tree; undefined for
   * anything else.
   */
  async text(path: string, maxBytes: number): Promise<string | undefined> {
    const found = this.#resolve(namesOf(path, 'input-invalid'), 0);
    if (found?.kind !== 'file' || found.sizeBytes > maxBytes) return undefined;
    const { content } = found;
    if (content === undefined || !('file' in content)) return undefined;
    const buffer = Buffer.alloc(found.sizeBytes);
    await this.#spool.read(buffer, 0, buffer.length, content.offset ?? 0);
    return buffer.toString();
  }

  /**
   * An immutable copy of the tree. A file that later layers do not change is the same value in the
   * next snapshot. The spool must stay until the snapshot is written.
   */
  snapshot(): Directory {
    // A loop instead of `map`, whose extra call at each of 2,000 levels would overflow the stack.
    const copy = ({ kind, meta, children }: MutableDirectory): Directory => {
      const copies = new Map<string, Leaf | Directory>();
      for (const [name, { node }] of children) {
        copies.set(name, node.kind === 'directory' ? copy(node) : node);
      }
      return { kind, meta, isImplied: false, children: copies };
    };
    return copy(this.#root);
  }

  async close(): Promise<void> {
    await this.#spool.close();
  }

  #hide(parent: MutableDirectory, name: string): void {
    if (name === opaque) {
      this.#prune(parent);
      return;
    }
    if (name.startsWith('.wh..wh.')) return;
    const hidden = name.slice(whiteout.length);
    const child = parent.children.get(hidden);
    if (child !== undefined) this.#pruneChild(parent, hidden, child);
  }

  /** Removes the entries of lower layers below; those of this layer stay. */
  #prune(directory: MutableDirectory): void {
    for (const [name, child] of directory.children) this.#pruneChild(directory, name, child);
  }

  #pruneChild(parent: MutableDirectory, name: string, child: Placed): void {
    if (child.node.kind === 'directory') this.#prune(child.node);
    if (child.layer === this.#layer) return;
    if (child.node.kind === 'directory' && child.node.children.size > 0) {
      child.node.meta = impliedMeta; // The lower layer's directory is gone; this layer only implies one.
      child.layer = this.#layer;
    } else {
      parent.children.delete(name);
    }
  }

  #addDirectory(parent: MutableDirectory, name: string, entry: FramedEntry): void {
    const there = parent.children.get(name);
    if (there?.node.kind === 'directory') {
      there.node.meta = this.#metaOf(entry);
      there.layer = this.#layer;
      return;
    }
    this.#makeDirectory(parent, name, this.#metaOf(entry), entry.name);
  }

  /**
   * Links can lead a short path deep into the tree, so the length of each directory's path is
   * checked here. This also bounds the depth of recursive functions.
   */
  #makeDirectory(parent: MutableDirectory, name: string, meta: Meta, of: string): MutableDirectory {
    const pathBytes = parent.pathBytes + 1 + Buffer.byteLength(name);
    if (pathBytes > this.#limits.maxPathBytes) {
      throw new Refusal(
        'archive-too-large',
        `the path of ${quoted(of)} is longer than ${this.#limits.maxPathBytes} bytes in the image`,
      );
    }
    const node: MutableDirectory = { kind: 'directory', meta, children: new Map(), pathBytes };
    parent.children.set(name, { node, layer: this.#layer });
    return node;
  }

  #addHardLink(parent: MutableDirectory, name: string, entry: FramedEntry): void {
    const names = namesOf(entry.linkname, 'archive-link-forbidden');
    const last = names.pop();
    const above = last === undefined ? undefined : this.#resolve(names, 0);
    const target = above?.kind === 'directory' ? above.children.get(last ?? '')?.node : undefined;
    if (target === undefined || target.kind === 'directory') {
      throw new Refusal(
        'archive-link-forbidden',
        `the hard link ${quoted(entry.name)} leads to ${quoted(entry.linkname)}, which is not a file that the image has before it`,
      );
    }
    // Names of a link or a FIFO become separate entries: in an image only regular files have hard
    // links.
    if (target.kind === 'file') Object.assign(target, { isShared: true });
    parent.children.set(name, { node: target, layer: this.#layer });
  }

  async #addLeaf(
    parent: MutableDirectory,
    name: string,
    entry: FramedEntry,
    body: AsyncIterable<Buffer>,
  ): Promise<void> {
    const kind = entry.type === 'symlink' || entry.type === 'fifo' ? entry.type : 'file';
    const offset = this.#spooledBytes;
    if (kind === 'file') {
      for await (const chunk of body) {
        if (this.#spooledBytes + chunk.length > this.#limits.maxTarBytes) {
          throw new Refusal(
            'archive-too-large',
            `the layers have more than ${this.#limits.maxTarBytes} bytes of files; allow more with --max-unpacked`,
          );
        }
        await this.#spool.write(chunk, 0, chunk.length, this.#spooledBytes);
        this.#spooledBytes += chunk.length;
      }
    }
    const node: Leaf = {
      kind,
      meta: this.#metaOf(entry),
      target: kind === 'symlink' ? entry.linkname : '',
      sizeBytes: kind === 'file' ? entry.sizeBytes : 0,
      ...(kind === 'file' ? { content: { file: this.#spoolPath, offset } } : {}),
    };
    parent.children.set(name, { node, layer: this.#layer });
  }

  #metaOf({ type, mode, uid, gid, mtime, xattrs }: FramedEntry): Meta {
    const time = Math.max(0, Math.min(mtime, this.#latest));
    // The kernel has no user attributes on symbolic links, and a reader of archives drops them.
    return { mode, uid, gid, mtime: time, xattrs: type === 'symlink' ? [] : xattrs };
  }

  /** The directory of these names; missing ones are made, as by programs that unpack layers. */
  #directory(names: readonly string[], of: string): MutableDirectory {
    let directory = this.#root;
    const at: string[] = [];
    for (const name of names) {
      at.push(name);
      const child = directory.children.get(name)?.node;
      if (child?.kind === 'directory') {
        directory = child;
      } else if (child?.kind === 'symlink') {
        const led = this.#resolve(at, 0);
        if (led?.kind !== 'directory') {
          throw new Refusal(
            'archive-path-forbidden',
            `${quoted(of)} is behind the link ${quoted(at.join('/'))}, which does not lead to a directory`,
          );
        }
        directory = led;
      } else if (child !== undefined) {
        throw new Refusal(
          'archive-path-forbidden',
          `${quoted(of)} lies under ${quoted(at.join('/'))}, which is not a directory`,
        );
      } else {
        directory = this.#makeDirectory(directory, name, impliedMeta, of);
      }
    }
    return directory;
  }

  /** The node that the names lead to, with links followed inside the tree. */
  #resolve(names: readonly string[], links: number): Leaf | MutableDirectory | undefined {
    const above: MutableDirectory[] = [this.#root];
    const open = [...names].reverse();
    let followed = links;
    for (let name = open.pop(); name !== undefined; name = open.pop()) {
      if (name === '..') {
        if (above.length > 1) above.pop();
        continue;
      }
      const child = above.at(-1)?.children.get(name)?.node;
      if (child?.kind === 'directory') {
        above.push(child);
      } else if (child?.kind === 'symlink') {
        if (++followed > maxLinks) return undefined;
        if (child.target.startsWith('/')) above.length = 1;
        open.push(
          ...child.target
            .split('/')
            .filter((part) => part !== '' && part !== '.')
            .reverse(),
        );
      } else {
        return open.length === 0 ? child : undefined;
      }
    }
    return above.at(-1);
  }
}

/**
 * An empty file whose name ends with a slash is a directory to the readers of layers, as it was
 * before ustar.
 */
function isDirectory({ type, name, sizeBytes }: FramedEntry): boolean {
  return type === 'directory' || (type === 'file' && sizeBytes === 0 && name.endsWith('/'));
}

/**
 * The components of a path in a layer. `..` removes the component before it, as in umoci and
 * buildah; a path that leads out of the image is refused.
 */
function namesOf(
  path: string,
  code: 'archive-path-forbidden' | 'archive-link-forbidden' | 'input-invalid',
): string[] {
  const names: string[] = [];
  for (const name of path.split('/')) {
    if (name === '' || name === '.') continue;
    if (name === '..' ? names.pop() === undefined : name.includes('\0')) {
      throw new Refusal(code, `the path ${quoted(path)} leads out of the image`);
    }
    if (name !== '..') names.push(name);
  }
  return names;
}
