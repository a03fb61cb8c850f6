import type { AccountFacts } from '../appc/index.ts';
import type { ArchiveLimits } from '../tar/index.ts';
import { AccountCollector } from './account-files.ts';
import { type ArchiveSummary, readArchive } from './read-archive.ts';
import type { ArchiveEntry } from './walk-archive.ts';

export interface ArchiveListing extends ArchiveSummary {
  /** In the archive's order. */
  readonly list: readonly ArchiveEntry[];
  readonly accounts: AccountFacts;
}

/**
 * Reads an archive as a device would and also lists it, for people. The list is in memory.
 *
 * Throws what `readArchive` throws.
 */
export async function inspectArchive(
  source: AsyncIterable<Uint8Array>,
  limits: ArchiveLimits,
): Promise<ArchiveListing> {
  const list: ArchiveEntry[] = [];
  const accounts = new AccountCollector();
  const summary = await readArchive(source, {
    limits,
    onEntry: async (entry, body) => {
      list.push(entry);
      await accounts.take(entry, body);
    },
  });
  return { ...summary, list, accounts };
}
