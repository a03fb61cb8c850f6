import { readLog } from '../local-api/index.ts';
import { type LastOutput, quotedLines, quoteOutput } from '../world/index.ts';

/**
 * Quotes the output of the pods in `remotePods` (`["*"]`: all), which their device may send.
 * @param read returns the newest lines of the journal that match
 */
export function lastOutputOf(remotePods: readonly string[], read = readLog): LastOutput {
  return async ({ name, uuid }, app) => {
    if (!remotePods.includes('*') && !remotePods.includes(name)) return '';
    // By the UUID: not what an earlier version of the pod wrote.
    const lines = await read({ pod: name, uuid, app, lines: quotedLines }).catch(() => []);
    return quoteOutput(lines.map(({ text }) => text));
  };
}
