/**
 * The ports that more than one capability needs, and the system's own clock and randomness. Each is
 * small enough that a test writes a second implementation in a few lines. Ports of a single
 * capability (Systemd, Transport, …) are defined where they are used.
 */
export { type Clock, systemClock } from './clock.ts';
export type { Journal, LogLevel } from './journal.ts';
export { type Random, systemRandom } from './random.ts';
