/**
 * The ports that more than one capability needs. Each is small enough that a test writes a second implementation in
 * a few lines. Ports of a single capability (Systemd, Transport, …) are defined where they are used.
 */

/** Time. Wall time may jump (a board without a clock starts in 1970); monotonic time never goes back. */
export interface Clock {
  /** Wall time in milliseconds since 1970. */
  nowMs(): number;
  /** Milliseconds since an arbitrary origin, never decreasing. */
  monotonicMs(): number;
  /** Resolves after `delayMs`; rejects with the signal's reason when it is aborted first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** Randomness for jitter and identifiers. */
export interface Random {
  /** Uniform in [0, 1). */
  fraction(): number;
  bytes(length: number): Uint8Array;
}

/** Syslog severities that wherry uses. */
export type LogLevel = 'error' | 'warning' | 'notice' | 'info' | 'debug';

/**
 * The journal. `fields` become journal fields; names are upper-case (`WHERRY_POD`, `WHERRY_CODE`). A sink never throws
 * and never blocks the caller.
 */
export interface Journal {
  log(level: LogLevel, message: string, fields?: Readonly<Record<string, string | number>>): void;
}
