import type { ArchiveLimits } from '../tar/index.ts';
import { type ArchiveSummary, readArchive } from './read-archive.ts';
import type { ArchiveEntry } from './walk-archive.ts';

export interface ArchiveListing extends ArchiveSummary {
  /** In the archive's order. */
  readonly list: readonly ArchiveEntry[];
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
  const summary = await readArchive(source, { limits, onEntry: (entry) => void list.push(entry) });
  return { ...summary, list };
}
