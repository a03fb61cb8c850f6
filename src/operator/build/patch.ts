import { type BuiltArchive, writeAci } from './builder.ts';
import { sourceEntries } from '../../image/tree/index.ts';
import { withSpooledTrees } from './spooled-trees.ts';

export interface PatchOptions {
  /** The archive whose files are taken. */
  readonly path: string;
  readonly manifest: Uint8Array;
  /** May be `path` itself: it is replaced when the new one is complete. */
  readonly output: string;
  readonly compression: 'gzip' | 'none';
}

/**
 * Writes an archive with the files of another one under another manifest. The result is a new image
 * with its own ID.
 *
 * @throws Refusal as `readArchive` and `writeAci`; nothing is written then
 */
export async function patchImage(options: PatchOptions): Promise<Omit<BuiltArchive, 'skipped'>> {
  const { path, ...rest } = options;
  return await withSpooledTrees(options.output, async (trees) =>
    writeAci({ ...rest, entries: sourceEntries(await trees.treeOf(path)) }),
  );
}
