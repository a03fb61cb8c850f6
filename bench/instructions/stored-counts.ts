import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The counts: keys as in the file, names as in the table. */
export const counted = {
  node: 'node -e 0',
  pullFixed: 'pull of next to nothing',
  pullPerMegabyte: 'pull, per MB of download',
  examine: 'examine a command',
  examineTwo: 'examine a command that two keys must sign',
  wherryd: 'wherryd from start to stop, without systemd',
} as const;

export type Counted = keyof typeof counted;

/** Millions of instructions. */
export type Counts = Readonly<Record<Counted, number>>;

export interface StoredCounts {
  /** Version of Node that was counted. */
  readonly node: string;
  readonly millions: Counts;
}

const path = join(import.meta.dirname, '../instructions.json');

/**
 * A count may exceed the stored one by this share, because runs differ, and so do versions of Node.
 */
const tolerance = 0.1;

/** Counts of an earlier version, which may lack a new one. */
export type FormerCounts = Omit<StoredCounts, 'millions'> & { readonly millions: Partial<Counts> };

export function readStoredCounts(): FormerCounts {
  return JSON.parse(readFileSync(path, 'utf8')) as FormerCounts;
}

export function storeCounts(stored: StoredCounts): void {
  writeFileSync(path, `${JSON.stringify(stored, undefined, 2)}\n`);
}

/** One sentence for each count that has grown too much or that is not in the table. */
export function growth(stored: FormerCounts, now: StoredCounts): readonly string[] {
  const sentences: string[] = [];
  for (const [key, name] of Object.entries(counted) as [Counted, string][]) {
    const before = stored.millions[key];
    const after = now.millions[key];
    if (before !== undefined && after <= before * (1 + tolerance)) continue;
    const from = before === undefined ? 'is not in the table' : `grew from ${before} to ${after} million`;
    const other = stored.node === now.node ? '' : ` (with Node ${now.node}, stored with ${stored.node})`;
    sentences.push(
      `${name} ${from}${other}; make it cheaper, or run npm run bench -- --instructions --store`,
    );
  }
  return sentences;
}
