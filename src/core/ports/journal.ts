/**
 * Syslog severities that wherry uses. `debug` entries are for developers: kept only with
 * `WHERRY_DEBUG=1`.
 */
export type LogLevel = 'error' | 'warning' | 'notice' | 'info' | 'debug';

/**
 * The journal. `fields` become journal fields; names are upper-case (`WHERRY_POD`, `WHERRY_CODE`).
 * A sink never throws and never blocks the caller.
 */
export interface Journal {
  log(level: LogLevel, message: string, fields?: Readonly<Record<string, string | number>>): void;
}
