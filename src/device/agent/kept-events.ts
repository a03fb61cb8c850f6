import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { Journal } from '../../core/ports/index.ts';
import type { KeptEvents } from '../session/index.ts';
import type { Config } from './config.ts';

type Identity = Pick<Config, 'fleet' | 'device'>;

/**
 * Events that no broker has acknowledged, in a file in `/run`: they outlive a wherryd that ends, is
 * upgraded or is killed, and nothing is written to flash. A reboot loses them, and the report of
 * the next connection then has the outcome alone.
 *
 * Those of another fleet or device, which this machine was before, are not sent.
 *
 * Written before the event is sent, so synchronously: it is a few hundred bytes in memory.
 */
export function keptEvents(path: string, { fleet, device }: Identity, journal: Journal): KeptEvents {
  return {
    load: () => {
      try {
        const found = JSON.parse(readFileSync(path, 'utf8')) as Identity & { events: [string, string][] };
        if (found.fleet !== fleet || found.device !== device) return [];
        return found.events.map(([of, payload]) => [of, Buffer.from(payload, 'base64')] as const);
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
        const kept = [...events].map(([of, payload]) => [of, Buffer.from(payload).toString('base64')]);
        writeFileSync(`${path}.new`, JSON.stringify({ fleet, device, events: kept }), { mode: 0o600 });
        renameSync(`${path}.new`, path);
      } catch (error) {
        journal.log('warning', `an answer is lost if wherryd ends before it is sent: ${String(error)}`);
      }
    },
  };
}
