import type { DeployedPod } from '../deploy/index.ts';

/**
 * Resolves with the last lines that an app wrote, as the end of a sentence about its failure; empty
 * when there are none, or when the output of the pod must not leave the device.
 */
export type LastOutput = (pod: Pick<DeployedPod, 'name' | 'uuid'>, app: string) => Promise<string>;

/** How many lines are quoted, and characters of each: the message must fit into a report. */
export const quotedLines = 5;
const quotedCharacters = 160;

/** The lines as the end of a sentence. */
export function quoteOutput(lines: readonly string[]): string {
  if (lines.length === 0) return '';
  const short = (line: string) =>
    line.length <= quotedCharacters ? line : `${line.slice(0, quotedCharacters)}…`;
  return `; it wrote last: ${lines.map((line) => JSON.stringify(short(line))).join(', ')}`;
}
