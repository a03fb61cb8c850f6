import { Refusal } from '../../core/refusal/index.ts';
import { type DesiredState, groupOf, shareOf } from './desired-state.ts';
import { isInShare } from './share.ts';

/**
 * The highest desired state that was ever trusted. It is kept over power cuts and never goes down.
 */
export interface TrustedVersion {
  /** 0 before the first. */
  readonly version: number;
  /** SHA-256 of the payload, lower-case hex; empty before the first. */
  readonly payloadSha256: string;
  /** Seconds since 1970. */
  readonly issued: number;
  /**
   * Version of the root that began the counting of versions in which this one is; absent without
   * one (`DeployEra`).
   */
  readonly era?: number;
}

/**
 * What time it is on a device, and whether to believe it: the two are never asked apart. See
 * `deviceTime`.
 */
export interface DeviceTime {
  /** Seconds since 1970, at least the time floor. */
  readonly nowSeconds: number;
  /**
   * Without it nothing is known to be late, and a key or signature from the future proves that the
   * clock is behind.
   */
  readonly clockTrusted: boolean;
}

export interface Judgement {
  /** What the signature was over; its signature has been verified. */
  readonly desired: DesiredState;
  readonly payloadSha256: string;
  readonly trusted: TrustedVersion;
  readonly fleet: string;
  readonly device: string;
  /** On whose topic the message came; absent: on the one of the device itself. */
  readonly group?: string;
  /**
   * The trusted version of this target was passed over until now, because another target went
   * first: it is judged like a new one.
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
     * What was issued before is refused, because a key that may have signed it was taken out.
     * Seconds since 1970.
     */
    readonly notBefore?: number;
  };
}

/**
 * `new`: to be obeyed, once its mark is stored. `same`: known already, nothing to do; `expired`
 * tells that it is past its expiry, which a device reports (it may be held back) and does not act
 * upon: its pods go on. `outside`: for a share of the group without this device. Its mark is
 * stored, if that is not done yet, and it is never obeyed.
 */
export type Verdict =
  { readonly outcome: 'new' | 'outside' } | { readonly outcome: 'same'; readonly expired: boolean };

/**
 * Decides whether a verified desired state may be obeyed. The order matters: a document for
 * somebody else tells nothing about this device's versions, and an old one is old whether or not it
 * is expired too.
 *
 * @throws {Refusal} `wrong-fleet`, `wrong-device`, `wrong-target`, `version-older`,
 *   `version-conflict`, `expired`, `root-expired`.
 */
export function judgeDesiredState(judgement: Judgement): Verdict {
  const { desired, trusted } = judgement;
  // Wrong software attack: a document that was signed for others is genuine elsewhere, never here
  // (Uptane, Director Targets metadata: the vehicle's identifier stands in the signed part).
  if (desired.fleet !== judgement.fleet) {
    throw new Refusal(
      'wrong-fleet',
      `it is for fleet ${desired.fleet}; this device is of fleet ${judgement.fleet}`,
    );
  }
  requireTarget(judgement);
  // Its place never changes, so that what passed this device by once is never its turn.
  const isOutside = !isInShare(shareOf(desired.target), judgement.fleet, judgement.device);
  const known = (): Verdict =>
    isOutside ? { outcome: 'outside' } : { outcome: 'same', expired: isExpired(judgement) };
  // In a new era the number of what runs binds no more, but its content is known.
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
    // Mix-and-match attack: a version stands for one content, else parts of two documents could be
    // obeyed (Uptane, full verification, step 5.2). The signer has to increase the version.
    if (judgement.payloadSha256 !== trusted.payloadSha256) {
      throw new Refusal(
        'version-conflict',
        `version ${desired.version} was trusted with other content; publish it with a higher version`,
      );
    }
    if (isTried) return known();
  }
  // A key was taken out of the role and versions are counted anew: what it may have signed, or
  // somebody replays, is older.
  const { root } = judgement;
  if (root?.notBefore !== undefined && desired.issued < root.notBefore) {
    throw new Refusal(
      'version-older',
      `version ${desired.version} was issued at ${isoTime(desired.issued)}, before the root that took a deploy key out (${isoTime(root.notBefore)}); deploy again`,
    );
  }
  // Freeze attack on the root: who holds back a newer one must not keep its keys in force (TUF
  // 1.0.34 §5.3.10).
  if (root !== undefined && judgement.time.clockTrusted && judgement.time.nowSeconds >= root.expires) {
    throw new Refusal(
      'root-expired',
      `root ${root.version} expired at ${isoTime(root.expires)}; publish a newer one with "wherry trust root rotate"`,
    );
  }
  // Freeze attack: what was kept back too long is no longer obeyed (TUF §5.4.4; Uptane, full
  // verification, step 4.4). Without a clock to trust nothing is known to be late, and refusing
  // would strand every board without a battery.
  if (expired) {
    throw new Refusal(
      'expired',
      `version ${desired.version} expired at ${isoTime(desired.expires)}; it is ${isoTime(judgement.time.nowSeconds)}`,
    );
  }
  return { outcome: isOutside ? 'outside' : 'new' };
}

/**
 * The topic says which trusted version a message is judged by, so it must be the one of the signed
 * target. Else a broker could show a device one target's commands in the place of another's.
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
 * The mark to store when `desired` is trusted. The issue time never goes back either: it is a floor
 * for the clock.
 */
export function markOf(desired: DesiredState, payloadSha256: string, before: TrustedVersion): TrustedVersion {
  const era = before.era === undefined ? {} : { era: before.era };
  return { version: desired.version, payloadSha256, issued: Math.max(desired.issued, before.issued), ...era };
}

/**
 * The earliest that it can be, in seconds since 1970, on a device whose clock may start in 1970:
 * the program was built, the newest verified document was issued, and the time was saved before
 * now.
 */
export function timeFloor(known: { buildTime: number; newestIssued: number; savedTime: number }): number {
  return Math.max(known.buildTime, known.newestIssued, known.savedTime);
}

/**
 * What time it is and whether to believe it. A clock is trusted when the system says that it was
 * set from a time source, and it does not contradict the floor: a clock behind the floor is
 * certainly wrong.
 *
 * @param wallSeconds The system's clock, seconds since 1970.
 * @param synchronized Whether a time source has set it since boot (systemd-timesyncd, chrony, a
 *   kept RTC).
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
