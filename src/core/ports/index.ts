/**
 * The ports that more than one capability needs, and the system's clock. Each is small enough that a test writes a second
 * implementation in a few lines. Ports of a single capability (Systemd, Transport, …) are defined where they are used.
 */
export type { Clock, Journal, LogLevel, Random } from './ports.ts';
export { systemClock } from './system-clock.ts';
