import { Refusal } from '../../core/refusal/index.ts';
import { type DesiredState, groupOf, shareOf } from './desired-state.ts';
import { isInShare } from './share.ts';

/** The highest desired state that was ever trusted. It survives power cuts and never decreases. */
export interface TrustedVersion {
  /** 0 before the first. */
  readonly version: number;
  /** SHA-256 of the payload, lower-case hex; empty before the first. */
  readonly payloadSha256: string;
  /** Seconds since 1970. */
  readonly issued: number;
  /** Version of the root that began the era of this version; absent without one (`DeployEra`). */
  readonly era?: number;
}

/**
 * The time on a device, and whether it can be trusted: the two are never used separately. See
 * `deviceTime`.
 */
export interface DeviceTime {
  /** Seconds since 1970, at least the time floor. */
  readonly nowSeconds: number;
  /**
   * If false, nothing counts as expired, and a key or signature from the future proves that the
   * clock is behind.
   */
  readonly clockTrusted: boolean;
}

/**
 * How far in the future a trusted clock may find a key, a signature or a document: two machines'
 * clocks never agree exactly.
 */
export const clockSkewSeconds = 600;

export interface Judgement {
  /** The decoded payload, whose signature has been verified. */
  readonly desired: DesiredState;
  readonly payloadSha256: string;
  readonly trusted: TrustedVersion;
  readonly fleet: string;
  readonly device: string;
  /** The group on whose topic the message arrived; absent: the topic of the device itself. */
  readonly group?: string;
  /**
   * The trusted version of this target was skipped until now, because another target had
   * precedence: it is judged like a new one.
   */
  readonly untried?: true;
  readonly time: DeviceTime;
  /**
   * The root of trust by whose roles the signatures were judged; absent on a device without one.
   */
  readonly root?: {
    readonly version: number;
    /** Seconds since 1970. */
    readonly expires: number;
    /**
     * Desired states issued before this time are refused, because a key that may have signed them
     * was removed. Seconds since 1970.
     */
    readonly notBefore?: number;
  };
}

/**
 * `new`: to be obeyed, once its mark is stored. `same`: known already, nothing to do; `expired`
 * means that it is past its expiry. A device reports this (the broker may hold newer ones back) and
 * keeps its pods running. `outside`: for a share of the group without this device. Its mark is
 * stored, if that is not done yet, and it is never obeyed.
 */
export type Verdict =
  { readonly outcome: 'new' | 'outside' } | { readonly outcome: 'same'; readonly expired: boolean };

/**
 * Decides whether a verified desired state may be obeyed. The order matters: a document for another
 * target must reveal nothing about this device's versions, and an old one is reported as old even
 * if it has also expired.
 *
 * @throws {Refusal} `wrong-fleet`, `wrong-device`, `wrong-target`, `version-older`,
 *   `version-conflict`, `expired`, `root-expired`, `key-unusable`.
 */
export function judgeDesiredState(judgement: Judgement): Verdict {
  const { desired, trusted } = judgement;
  // Wrong software attack: a document that was signed for others is genuine elsewhere, never here
  // (Uptane, Director Targets metadata: the vehicle's identifier is in the signed part).
  if (desired.fleet !== judgement.fleet) {
    throw new Refusal(
      'wrong-fleet',
      `it is for fleet ${desired.fleet}; this device is of fleet ${judgement.fleet}`,
    );
  }
  requireTarget(judgement);
  // The place of a device never changes, so a version that excludes this device always does.
  const isOutside = !isInShare(shareOf(desired.target), judgement.fleet, judgement.device);
  const known = (): Verdict =>
    isOutside ? { outcome: 'outside' } : { outcome: 'same', expired: isExpired(judgement) };
  // In a new era the number of the running version no longer counts, but its content is known.
  const isTried = isOutside || judgement.untried !== true;
  if (isTried && trusted.version === 0 && judgement.payloadSha256 === trusted.payloadSha256) return known();
  // Rollback attack: a genuine but old command is replayed (TUF §5.4.3; Uptane, full verification,
  // step 4.3).
  if (desired.version < trusted.version) {
    throw new Refusal(
      'version-older',
      `version ${desired.version} is older than ${trusted.version}, which this device has trusted; publish a higher one`,
    );
  }
  const expired = isExpired(judgement);
  if (desired.version === trusted.version) {
    // Mix-and-match attack: a version has one content, otherwise parts of two documents could be
    // obeyed (Uptane, full verification, step 5.2). The signer has to increase the version.
    if (judgement.payloadSha256 !== trusted.payloadSha256) {
      throw new Refusal(
        'version-conflict',
        `version ${desired.version} was trusted with other content; publish it with a higher version`,
      );
    }
    if (isTried) return known();
  }
  // A key was removed from the role and versions restart: anything that it may have signed, or that
  // is replayed, is older.
  const { root } = judgement;
  if (root?.notBefore !== undefined && desired.issued < root.notBefore) {
    throw new Refusal(
      'version-older',
      `version ${desired.version} was issued at ${isoTime(desired.issued)}, before the root that took a deploy key out (${isoTime(root.notBefore)}); deploy again`,
    );
  }
  // Freeze attack on the root: an attacker who holds back a newer one must not keep its keys in
  // force (TUF 1.0.34 §5.3.10).
  if (root !== undefined && judgement.time.clockTrusted && judgement.time.nowSeconds >= root.expires) {
    throw new Refusal(
      'root-expired',
      `root ${root.version} expired at ${isoTime(root.expires)}; publish a newer one with "wherry trust root rotate"`,
    );
  }
  // Freeze attack: a command that was held back too long is no longer obeyed (TUF §5.4.4; Uptane,
  // full verification, step 4.4). Without a trusted clock nothing counts as expired, and refusing
  // would strand every board without a battery.
  if (expired) {
    throw new Refusal(
      'expired',
      `version ${desired.version} expired at ${isoTime(desired.expires)}; it is ${isoTime(judgement.time.nowSeconds)}`,
    );
  }
  refuseFuture(`version ${desired.version}`, desired.issued, judgement.time);
  return { outcome: isOutside ? 'outside' : 'new' };
}

/**
 * The issue time of a trusted document is a floor for the clock for ever. One from the future would
 * make a right clock untrusted until then, and judge every key by that time.
 * @throws {Refusal} `key-unusable`, as for a signature from the future
 */
export function refuseFuture(what: string, issued: number, { nowSeconds, clockTrusted }: DeviceTime): void {
  if (!clockTrusted || issued <= nowSeconds + clockSkewSeconds) return;
  throw new Refusal(
    'key-unusable',
    `${what} was issued at ${isoTime(issued)} and it is ${isoTime(nowSeconds)}; set the clock of this device or of the signer`,
  );
}

/**
 * The topic determines the trusted version by which a message is judged, so it must be the topic of
 * the signed target. Otherwise a broker could deliver one target's commands in place of another's.
 */
function requireTarget({ desired, group, device }: Judgement): void {
  const { target } = desired;
  const wanted = group === undefined ? `device ${device}` : `group ${group}`;
  if ('group' in target || group !== undefined) {
    if (group !== undefined && groupOf(target) === group) return;
    const meant = 'group' in target ? `group ${target.group}` : `device ${target.device}`;
    throw new Refusal('wrong-target', `it is for ${meant} and came on the topic of ${wanted}`);
  }
  if (target.device !== device)
    throw new Refusal('wrong-device', `it is for device ${target.device}; this is ${device}`);
}

function isExpired({ desired, time }: Judgement): boolean {
  return time.clockTrusted && time.nowSeconds >= desired.expires;
}

/**
 * The mark to store when `desired` is trusted. The issue time never decreases either: it is a floor
 * for the clock.
 */
export function markOf(desired: DesiredState, payloadSha256: string, before: TrustedVersion): TrustedVersion {
  const era = before.era === undefined ? {} : { era: before.era };
  return { version: desired.version, payloadSha256, issued: Math.max(desired.issued, before.issued), ...era };
}

/**
 * The earliest possible time, in seconds since 1970, on a device whose clock may start in 1970: the
 * program was built, the newest verified document was issued, and the time was saved before now.
 */
export function timeFloor(known: { buildTime: number; newestIssued: number; savedTime: number }): number {
  return Math.max(known.buildTime, known.newestIssued, known.savedTime);
}

/**
 * The time and whether it can be trusted. A clock is trusted when the system reports that a time
 * source has set it, and when it is not behind the floor: a clock behind the floor is certainly
 * wrong.
 *
 * @param wallSeconds The system's clock, seconds since 1970.
 * @param synchronized Whether a time source has set it since boot (an NTP client, or a clock
 *   chip).
 */
export function deviceTime(wallSeconds: number, synchronized: boolean, floorSeconds: number): DeviceTime {
  return {
    nowSeconds: Math.max(wallSeconds, floorSeconds),
    clockTrusted: synchronized && wallSeconds >= floorSeconds,
  };
}

function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
