import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultArchiveLimits } from '../../image/tar/index.ts';
import { withScratch } from './output-file.ts';
import { readInput } from './read-input.ts';
import { readArchive } from '../../image/aci/index.ts';
import { type Directory, TreeOfArchive } from '../../image/tree/index.ts';

/**
 * Calls `use` with trees of archives whose files are in one spool beside `output`. That file system
 * needs room for the result in any case.
 */
export async function withSpooledTrees<T>(
  output: string,
  use: (trees: SpooledTrees) => Promise<T>,
): Promise<T> {
  return await withScratch(output, async (scratch) => {
    const path = join(scratch, 'files');
    const spool = await open(path, 'wx+', 0o600);
    try {
      return await use(new SpooledTrees(spool, path));
    } finally {
      await spool.close();
    }
  });
}

/** Each archive is read once, however often its tree is requested. */
class SpooledTrees {
  readonly #spool: FileHandle;
  readonly #spoolPath: string;
  readonly #trees = new Map<string, Directory>();
  #spooledBytes = 0;

  constructor(spool: FileHandle, spoolPath: string) {
    this.#spool = spool;
    this.#spoolPath = spoolPath;
  }

  /** The tree of an archive below `rootfs`. @throws Refusal as `readArchive` */
  async treeOf(path: string): Promise<Directory> {
    const tree = this.#trees.get(path) ?? (await this.#read(path));
    this.#trees.set(path, tree);
    return tree;
  }

  async #read(path: string): Promise<Directory> {
    const own = new TreeOfArchive();
    await readArchive(readInput(path), {
      limits: defaultArchiveLimits,
      onEntry: async (entry, body) => {
        if (entry.path === 'manifest') return;
        const offset = this.#spooledBytes;
        if (entry.type === 'file') await this.#keep(body);
        own.add(entry, entry.type === 'file' ? { file: this.#spoolPath, offset } : undefined);
      },
    });
    return own.tree;
  }

  async #keep(body: AsyncIterable<Buffer>): Promise<void> {
    for await (const chunk of body) {
      await this.#spool.write(chunk, 0, chunk.length, this.#spooledBytes);
      this.#spooledBytes += chunk.length;
    }
  }
}
