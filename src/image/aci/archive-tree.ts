import { Refusal } from '../../core/refusal/index.ts';
import { linkForbidden } from './entry-path.ts';
import { type ArchiveLimits, quoted, type EntryType } from '../tar/index.ts';

type Kind = 'directory' | 'implied' | 'file' | 'other';

const kindOfType: Record<EntryType, Kind> = {
  file: 'file',
  link: 'file', // a link to a link is a link to the file
  directory: 'directory',
  symlink: 'other',
  fifo: 'other',
};

/**
 * The tree of the entries so far. It refuses what would make the result depend on the extracting
 * program: a path twice (aci.md: "no duplicate entries"), a path through a link or a file, a hard
 * link to a later entry. Memory is one map entry per path, so entries and the directories they
 * imply are counted.
 */
export class ArchiveTree {
  readonly #limits: ArchiveLimits;
  readonly #kinds = new Map<string, Kind>();

  constructor(limits: ArchiveLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#kinds.size;
  }

  has(path: string): boolean {
    return this.#kinds.has(path);
  }

  /**
   * Adds an entry.
   * @param path - as `entryPath` returns it
   * @param target - of a hard link, as `hardLinkTarget` returns it
   * @returns the directories that no entry named so far, outermost first
   */
  add(path: string, type: EntryType, target: string): string[] {
    const before = this.#kinds.get(path);
    if (before !== undefined && !(before === 'implied' && type === 'directory')) {
      throw path === 'manifest'
        ? new Refusal('image-manifest-duplicate', 'the archive has more than one manifest')
        : new Refusal('archive-entry-duplicate', `the path ${quoted(path)} is in the archive twice`);
    }
    if (type === 'link' && this.#kinds.get(target) !== 'file') {
      throw linkForbidden(path, target, 'is not a regular file that came before it');
    }
    const implied = before === undefined ? this.#imply(path) : [];
    this.#kinds.set(path, kindOfType[type]);
    if (this.#kinds.size > this.#limits.maxEntries) {
      throw new Refusal('archive-too-large', `the archive has more than ${this.#limits.maxEntries} entries`);
    }
    return implied;
  }

  #imply(path: string): string[] {
    const implied: string[] = [];
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const parent = path.slice(0, end);
      const kind = this.#kinds.get(parent);
      if (kind === 'directory' || kind === 'implied') break;
      if (kind !== undefined) {
        throw new Refusal(
          'archive-path-forbidden',
          `the entry ${quoted(path)} lies under ${quoted(parent)}, which is not a directory`,
        );
      }
      implied.push(parent);
      if (this.#kinds.size + implied.length > this.#limits.maxEntries) break; // add() refuses
    }
    for (const parent of implied) this.#kinds.set(parent, 'implied');
    return implied.reverse();
  }
}
