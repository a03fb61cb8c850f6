import type { Journal, LogLevel } from '../../core/ports/index.ts';
import { loadAddon } from './addons.ts';

/** Syslog priorities (sd-daemon(3)). */
const priorities: Readonly<Record<LogLevel, number>> = { error: 3, warning: 4, notice: 5, info: 6, debug: 7 };

/** Longer messages are cut: the text of a hostile server must not fill the journal. */
const maxMessageLength = 4096;

interface JournaldAddon {
  send(priority: number, ...fields: string[]): number;
}

/**
 * The journal of this machine. With the native addon an entry carries its fields; without it, the
 * entry goes to standard error with a priority prefix (sd-daemon(3)) that systemd parses, and the
 * fields follow the message.
 *
 * Entries of the level `debug` are dropped unless `WHERRY_DEBUG=1` is set (docs/debugging.md).
 *
 * @param addon the result of `loadAddon('journald')`
 */
export function openJournal(
  addon: unknown = loadAddon('journald'),
  environment: NodeJS.ProcessEnv = process.env,
): Journal {
  const keepsDebug = environment['WHERRY_DEBUG'] === '1';
  return {
    log: (level, message, fields = {}) => {
      if (level === 'debug' && !keepsDebug) return;
      const text = message.length > maxMessageLength ? `${message.slice(0, maxMessageLength)}…` : message;
      const pairs = Object.entries(fields);
      if (isJournald(addon)) {
        const entry = [
          `MESSAGE=${text}`,
          'SYSLOG_IDENTIFIER=wherryd',
          ...pairs.map(([name, value]) => `${name}=${value}`),
        ];
        // The addon copies up to a NUL, but passes the whole length to journald: the memory after
        // it would be logged.
        const sent = addon.send(priorities[level], ...entry.map((field) => field.replaceAll('\0', '\uFFFD')));
        if (sent === 0) return;
      }
      const suffix =
        pairs.length === 0 ? '' : ` (${pairs.map(([name, value]) => `${name}=${value}`).join(' ')})`;
      const prefix = `<${priorities[level]}>`;
      process.stderr.write(
        `${`${text}${suffix}`
          .split('\n')
          .map((line) => prefix + line)
          .join('\n')}\n`,
      );
    },
  };
}

function isJournald(addon: unknown): addon is JournaldAddon {
  return typeof addon === 'object' && addon !== null && 'send' in addon;
}
