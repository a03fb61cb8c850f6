import { createHash } from 'node:crypto';
import type { LossReason } from '../../wire/mqtt/index.ts';

/**
 * When to reconnect. Pure. The aim is that a broker with N devices gets at most about N / window
 * connection attempts per second after an outage of any kind, and that no device gives up.
 */

export interface ReconnectPolicy {
  /**
   * Width of the window for the first reconnect of an established session; comes from the signed
   * desired state.
   */
  readonly windowMs: number;
  /**
   * Width of the window for the first connection after boot: power returning to a site is the real
   * storm.
   */
  readonly bootSpreadMs: number;
  readonly baseMs: number;
  readonly capMs: number;
  /** Cap while the broker refuses this very device. */
  readonly deniedCapMs: number;
  /** A session shorter than this does not count as success. */
  readonly stableMs: number;
}

export const defaultReconnectPolicy: ReconnectPolicy = {
  windowMs: 60_000,
  bootSpreadMs: 30_000,
  baseMs: 2_000,
  capMs: 600_000,
  deniedCapMs: 3_600_000,
  stableMs: 60_000,
};

/** Consecutive attempts or short sessions without a stable session between them. */
export interface ReconnectState {
  readonly failures: number;
  /** Whether this process ever had a session: then others probably lost theirs at the same time. */
  readonly hadSession: boolean;
}

export const initialReconnectState: ReconnectState = { failures: 0, hadSession: false };

export interface Loss {
  readonly reason: LossReason;
  /** How long the session was established; undefined when the attempt did not get that far. */
  readonly sessionMs?: number;
}

/** How a reason changes the exponential ceiling. */
interface Bend {
  readonly factor: number;
  /** The ceiling is at least the window. */
  readonly atLeastWindow?: true;
  readonly cap: (policy: ReconnectPolicy) => number;
  /** A stable session before this loss does not reset the count: the cause remains. */
  readonly keepsCount?: true;
}

const usualCap = (policy: ReconnectPolicy): number => policy.capMs;
const deniedCap = (policy: ReconnectPolicy): number => policy.deniedCapMs;

const bends: Record<LossReason, Bend> = {
  closed: { factor: 1, cap: usualCap },
  unreachable: { factor: 1, cap: usualCap },
  // Attempts cost nothing, and a site should be back soon after its uplink is: never wait longer
  // than the window.
  'no-network': { factor: 1, cap: (policy) => Math.min(policy.windowMs, policy.capMs) },
  tls: { factor: 1, cap: usualCap },
  credentials: { factor: 1, cap: deniedCap },
  busy: { factor: 4, cap: usualCap },
  quota: { factor: 1, atLeastWindow: true, cap: usualCap },
  // The message is as large on the next connection, unless it changes.
  'too-large': { factor: 1, atLeastWindow: true, cap: usualCap, keepsCount: true },
  // Two devices with one identity disconnect each other endlessly, so each must retry more slowly,
  // however long a session lasted.
  'taken-over': { factor: 1, atLeastWindow: true, cap: usualCap, keepsCount: true },
  protocol: { factor: 1, cap: deniedCap },
};

/**
 * The next step after a loss.
 * @param fraction uniform in [0, 1), see `seededFraction`
 * @returns the state to keep and the milliseconds to wait before the next attempt
 */
export function afterLoss(
  policy: ReconnectPolicy,
  state: ReconnectState,
  loss: Loss,
  fraction: number,
): { readonly state: ReconnectState; readonly delayMs: number } {
  const bend = bends[loss.reason];
  const wasStable = loss.sessionMs !== undefined && loss.sessionMs >= policy.stableMs;
  const failures = wasStable && bend.keepsCount !== true ? 0 : state.failures;
  const isFirst = failures === 0 && loss.sessionMs !== undefined;
  const exponential = isFirst ? 0 : policy.baseMs * bend.factor * 2 ** failures;
  // A device that had a session lost it at the same time as others. Spreading the first attempt
  // over the window is not enough: with the short first steps of the exponential, a broker that can
  // accept half of the attempts gets nine times its capacity. With the window as the minimum of
  // every step it gets four times, and all are connected sooner.
  const hadSession = state.hadSession || loss.sessionMs !== undefined;
  const floor = hadSession || bend.atLeastWindow === true ? policy.windowMs : 0;
  const ceiling = Math.max(floor, Math.min(bend.cap(policy), exponential));
  return { state: { failures: failures + 1, hadSession }, delayMs: Math.floor(fraction * ceiling) };
}

/** The wait before the first connection of this boot. */
export function bootDelayMs(policy: ReconnectPolicy, fraction: number): number {
  return Math.floor(fraction * policy.bootSpreadMs);
}

/**
 * A number in [0, 1) that depends on device, hour and attempt: spread evenly over a fleet even if
 * every device has the same random numbers at boot, and different in the next storm, so that no
 * device is always the last.
 * @param nowMs wall time in milliseconds; a clock at 1970 only means that the hour does not change
 */
export function seededFraction(device: string, nowMs: number, attempt: number): number {
  const hour = Math.floor(nowMs / 3_600_000);
  const digest = createHash('sha256').update(`${device}\n${hour}\n${attempt}`).digest();
  return digest.readUIntBE(0, 6) / 2 ** 48;
}

/**
 * Keepalive of 300 s ± 10 % by `fraction`, so that the pings of a fleet that reconnected together
 * drift apart.
 */
export function keepaliveSeconds(fraction: number): number {
  return Math.round(270 + 60 * fraction);
}
