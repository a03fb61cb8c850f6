import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { Journal } from '../../core/ports/index.ts';
import type { KeptEvents } from '../session/index.ts';

/**
 * Events that no broker has acknowledged, in a file in `/run`: they outlive a wherryd that ends, is
 * upgraded or is killed, and nothing is written to flash. A reboot loses them, and the report of
 * the next connection then has the outcome alone.
 *
 * Written before the event is sent, so synchronously: it is a few hundred bytes in memory.
 */
export function keptEvents(path: string, journal: Journal): KeptEvents {
  return {
    load: () => {
      try {
        const found = JSON.parse(readFileSync(path, 'utf8')) as [string, string][];
        return found.map(([of, payload]) => [of, Buffer.from(payload, 'base64')] as const);
      } catch {
        return []; // there are none, or the file is damaged: the report has the newest outcome
      }
    },
    save: (events) => {
      try {
        if (events.size === 0) {
          rmSync(path, { force: true });
          return;
        }
        const text = [...events].map(([of, payload]) => [of, Buffer.from(payload).toString('base64')]);
        writeFileSync(`${path}.new`, JSON.stringify(text), { mode: 0o600 });
        renameSync(`${path}.new`, path);
      } catch (error) {
        journal.log('warning', `an answer is lost if wherryd ends before it is sent: ${String(error)}`);
      }
    },
  };
}
