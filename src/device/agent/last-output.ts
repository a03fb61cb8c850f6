import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { readLog } from '../local-api/index.ts';
import { type LastOutput, quotedLines, quoteOutput } from '../world/index.ts';

/** Resolves once journald has read what apps wrote, or after its time. */
const syncJournal = (): Promise<unknown> =>
  promisify(execFile)('journalctl', ['--sync'], { timeout: 10_000 }).catch(() => undefined);

/**
 * Quotes the output of the pods in `remotePods` (`["*"]`: all), which their device may send.
 * @param read returns the newest lines of the journal that match
 * @param sync is awaited first: the app that failed may have ended right after its last line
 */
export function lastOutputOf(remotePods: readonly string[], read = readLog, sync = syncJournal): LastOutput {
  return async ({ name, uuid }, app) => {
    if (!remotePods.includes('*') && !remotePods.includes(name)) return '';
    await sync();
    // By the UUID: not what an earlier version of the pod wrote.
    const lines = await read({ pod: name, uuid, app, lines: quotedLines }).catch(() => []);
    return quoteOutput(lines.map(({ text }) => text));
  };
}
