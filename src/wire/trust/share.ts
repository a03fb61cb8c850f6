import { createHash } from 'node:crypto';
import type { AcName } from '../../image/appc/index.ts';

/** How many places the ring has: the unit of shares. */
export const ringPlaces = 65_536;

/**
 * A part of a group: the devices whose place on the ring is at least `from` and below `to`. It is
 * never the whole ring, because a command for all of a group has no share.
 */
export interface Share {
  /** 0 … 65535. */
  readonly from: number;
  /** `from` + 1 … 65536. */
  readonly to: number;
  /** Changes the places, so that the first devices differ between rollouts. */
  readonly salt?: AcName;
}

/**
 * The place of a device on the ring, 0 … 65535: the first two bytes of SHA-256 of `wherry share`,
 * the fleet, the salt and the device, with a NUL after each but the last. It depends on no other
 * device. Names have no NUL, so that no two devices have the same text.
 */
export function placeOnRing(fleet: string, device: string, salt = ''): number {
  return createHash('sha256').update(`wherry share\0${fleet}\0${salt}\0${device}`).digest().readUInt16BE(0);
}

/** Whether a command for a group with this share is for the device; one without a share is. */
export function isInShare(share: Share | undefined, fleet: string, device: string): boolean {
  if (share === undefined) return true;
  const place = placeOnRing(fleet, device, share.salt);
  return place >= share.from && place < share.to;
}
