import { formatTable, judge } from '../table.ts';
import { countPrograms } from './count-programs.ts';
import { type Counted, counted, growth, readStoredCounts, storeCounts } from './stored-counts.ts';

/** Against `node -e 0`. */
const ratioBounds: Partial<Record<Counted, number>> = { pullFixed: 1.2, examine: 1.2, wherryd: 1.5 };
/** In millions. */
const bounds: Partial<Record<Counted, number>> = { pullPerMegabyte: 80 };

export interface InstructionOptions {
  readonly json: boolean;
  /** Fails when a count has grown past the stored one. */
  readonly check: boolean;
  /** Replaces the stored counts. */
  readonly store: boolean;
  readonly say: (sentence: string) => void;
}

/**
 * Counts ARM instructions and prints the table. The load of this machine has no influence.
 *
 * @returns the exit status
 */
export async function benchInstructions({ json, check, store, say }: InstructionOptions): Promise<number> {
  const now = await countPrograms(say);
  const { node } = now.millions;
  const rows = (Object.keys(counted) as Counted[]).map((key) => {
    const name = `${counted[key]}, million ARM instructions`;
    const ours = now.millions[key];
    const ratioBound = ratioBounds[key];
    if (ratioBound !== undefined) {
      return judge({ name: `${name}; peer: node -e 0`, ours, peer: node, bound: ratioBound });
    }
    const bound = bounds[key];
    return judge(bound === undefined ? { name, ours } : { name, ours, bound });
  });
  process.stdout.write(json ? `${JSON.stringify(rows)}\n` : `${formatTable(rows)}\n`);
  if (store) {
    storeCounts(now);
    say('stored the counts in bench/instructions.json');
  }
  if (!check) return 0;
  const grown = growth(readStoredCounts(), now);
  for (const sentence of grown) say(sentence);
  return grown.length === 0 ? 0 : 1;
}
