import { createHash } from 'node:crypto';
import type { Disk, DiskEntry, Owner } from '../../../src/device/store/disk.ts';
import type { Measure, Verity } from '../../../src/device/store/verity.ts';

interface Content {
  readonly bytes: Uint8Array;
  readonly owner: Owner;
  readonly mode: number;
  /** The seal of the content: other bytes below it cannot be read. */
  readonly seal?: string;
}

interface Inode {
  readonly number: number;
  now: Content;
  /** The content on the medium. */
  synced: Content;
}

type Pending =
  | { readonly kind: 'content'; readonly inode: Inode; readonly after: Content }
  /** A directory operation: the inode of each path afterwards. */
  | {
      readonly kind: 'names';
      readonly changes: readonly (readonly [path: string, inode: Inode | undefined])[];
    };

const nobody: Owner = { uid: 999, gid: 999 };
const empty: Content = { bytes: new Uint8Array(), owner: nobody, mode: 0o600 };

/**
 * A disk in memory that separates the medium from the cache. `crashes()` yields every disk that a
 * power cut may leave at this moment: each operation since the last sync that covers it happened or
 * did not, independently, and each write may be torn.
 */
export class CrashingDisk implements Disk, Verity {
  freeBytesNow = 1_000_000_000;
  /** Called after every operation that changes something. */
  onChange: () => void = () => undefined;
  #names = new Map<string, Inode>();
  #syncedNames = new Map<string, Inode>();
  #pending: Pending[] = [];
  #nextInode = 1;

  /** Puts a file onto the medium, as if it had always existed. */
  put(path: string, bytes: Uint8Array, more: Partial<Content> = {}): void {
    const content = { ...empty, bytes, ...more };
    const inode = { number: this.#nextInode++, now: content, synced: content };
    this.#names.set(path, inode);
    this.#syncedNames.set(path, inode);
  }

  /** All paths, as seen through the cache. */
  paths(): string[] {
    return [...this.#names.keys()].sort();
  }

  *crashes(): Generator<CrashingDisk> {
    const choices = this.#pending.map((operation) => (operation.kind === 'content' ? 3 : 2));
    const total = choices.reduce((product, count) => product * count, 1);
    if (total > 5000) throw new Error('too much is unsynced to try every crash');
    for (let world = 0; world < total; world += 1) {
      const contents = new Map<Inode, Content>();
      const names = new Map(this.#syncedNames);
      let rest = world;
      for (const [index, operation] of this.#pending.entries()) {
        const choice = rest % (choices[index] ?? 1);
        rest = Math.floor(rest / (choices[index] ?? 1));
        if (choice === 0) continue;
        if (operation.kind === 'names') {
          for (const [path, inode] of operation.changes) {
            if (inode === undefined) names.delete(path);
            else names.set(path, inode);
          }
        } else {
          const { after } = operation;
          const torn = after.bytes.subarray(0, Math.floor(after.bytes.length / 2));
          contents.set(operation.inode, choice === 1 ? after : { ...after, bytes: torn });
        }
      }
      const disk = new CrashingDisk();
      disk.freeBytesNow = this.freeBytesNow;
      for (const [path, inode] of names) {
        const content = contents.get(inode) ?? inode.synced;
        disk.put(path, content.bytes, content);
      }
      yield disk;
    }
  }

  read(path: string, maxBytes: number): Promise<Uint8Array | undefined> {
    const bytes = this.#names.get(path)?.now.bytes;
    if (bytes !== undefined && bytes.length > maxBytes) return Promise.reject(new Error('too large'));
    return Promise.resolve(bytes);
  }

  async readAt(path: string, offset: number, length: number): Promise<Uint8Array> {
    return (await this.#readable(path)).slice(offset, offset + length);
  }

  async sha256(path: string): Promise<string> {
    return createHash('sha256')
      .update(await this.#readable(path))
      .digest('hex');
  }

  /** Like O_DIRECT: cached writes reach the medium first. */
  sha256OnMedium(path: string): Promise<string> {
    return this.sha256(path);
  }

  lack(): Promise<string | undefined> {
    return Promise.resolve(undefined);
  }

  /**
   * Like the kernel: every part of the file, the seal included, may be incomplete until it is
   * synced.
   */
  seal(path: string): Promise<void> {
    const inode = this.#inode(path);
    return this.#change(inode, { ...inode.now, seal: sealOf(inode.now.bytes) });
  }

  measure(path: string): Promise<Measure> {
    const { seal } = this.#inode(path).now;
    return Promise.resolve(seal === undefined ? { kind: 'open' } : { kind: 'sealed', digest: seal });
  }

  write(path: string, bytes: Uint8Array): Promise<void> {
    let inode = this.#names.get(path);
    if (inode === undefined) {
      inode = { number: this.#nextInode++, now: empty, synced: empty };
      this.#rename([[path, inode]]);
    }
    return this.#change(inode, { ...inode.now, bytes });
  }

  /** A directory exists once it contains a file. */
  makeDirectory(): Promise<void> {
    return Promise.resolve();
  }

  own(path: string, owner: Owner, mode: number): Promise<void> {
    const inode = this.#inode(path);
    return this.#change(inode, { ...inode.now, owner, mode });
  }

  syncFile(path: string): Promise<void> {
    const inode = this.#inode(path);
    inode.synced = inode.now;
    this.#pending = this.#pending.filter((item) => item.kind !== 'content' || item.inode !== inode);
    return this.#done();
  }

  syncDirectory(directory: string): Promise<void> {
    const inside = (path: string): boolean => path.slice(0, path.lastIndexOf('/')) === directory;
    this.#pending = this.#pending.filter((item) => {
      if (item.kind !== 'names' || !item.changes.some(([path]) => inside(path))) return true;
      for (const [path, inode] of item.changes) {
        if (inode === undefined) this.#syncedNames.delete(path);
        else this.#syncedNames.set(path, inode);
      }
      return false;
    });
    return this.#done();
  }

  rename(from: string, to: string): Promise<void> {
    const inode = this.#inode(from);
    this.#rename([
      [from, undefined],
      [to, inode],
    ]);
    return this.#done();
  }

  remove(path: string): Promise<void> {
    const gone = this.paths().filter((other) => other === path || other.startsWith(`${path}/`));
    for (const name of gone) {
      this.#rename([[name, undefined]]);
      this.onChange();
    }
    return Promise.resolve();
  }

  list(path: string): Promise<readonly string[]> {
    const below = this.paths().filter((other) => other.startsWith(`${path}/`));
    const names = below.map((other) => other.slice(path.length + 1).split('/')[0] ?? '');
    return Promise.resolve([...new Set(names)].sort());
  }

  /** The disk has no links. */
  async realPath(path: string): Promise<string | undefined> {
    return (await this.look(path)) === undefined ? undefined : path;
  }

  look(path: string): Promise<DiskEntry | undefined> {
    const inode = this.#names.get(path);
    const common = { owner: nobody, mode: 0o700, links: 1 };
    if (inode === undefined) {
      const below = this.paths().filter((other) => other.startsWith(`${path}/`));
      if (below.length === 0) return Promise.resolve(undefined);
      const allocatedBytes = below.reduce((sum, other) => sum + this.#inode(other).now.bytes.length, 0);
      return Promise.resolve({ ...common, kind: 'directory', sizeBytes: 0, allocatedBytes });
    }
    const { bytes, owner, mode } = inode.now;
    const links = [...this.#names.values()].filter((other) => other === inode).length;
    return Promise.resolve({
      kind: 'file',
      sizeBytes: bytes.length,
      allocatedBytes: bytes.length,
      links,
      owner,
      mode,
    });
  }

  hasBlockDevice(): Promise<boolean> {
    return Promise.resolve(true);
  }

  freeBytes(): Promise<number> {
    return Promise.resolve(this.freeBytesNow);
  }

  #readable(path: string): Promise<Uint8Array> {
    const { bytes, seal } = this.#inode(path).now;
    if (seal === undefined || seal === sealOf(bytes)) return Promise.resolve(bytes);
    return Promise.reject(Object.assign(new Error('EIO: i/o error, read'), { errno: -5, code: 'EIO' }));
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw new Error(`${path} does not exist`);
    return inode;
  }

  #rename(changes: (readonly [string, Inode | undefined])[]): void {
    for (const [path, inode] of changes) {
      if (inode === undefined) this.#names.delete(path);
      else this.#names.set(path, inode);
    }
    this.#pending.push({ kind: 'names', changes });
  }

  #change(inode: Inode, after: Content): Promise<void> {
    inode.now = after;
    this.#pending.push({ kind: 'content', inode, after });
    return this.#done();
  }

  #done(): Promise<void> {
    this.onChange();
    return Promise.resolve();
  }
}

/** The seal of this disk for these bytes: not the kernel's tree, but as specific. */
export function sealOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update('seal').update(bytes).digest('hex')}`;
}

/**
 * Every disk that a power cut may leave at any moment of `action`, including before and after it.
 */
export async function everyCrash(
  disk: CrashingDisk,
  action: () => Promise<unknown>,
): Promise<CrashingDisk[]> {
  const outcomes = [...disk.crashes()];
  disk.onChange = () => outcomes.push(...disk.crashes());
  await action();
  disk.onChange = () => undefined;
  return outcomes;
}
