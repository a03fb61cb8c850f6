import { isAcName } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { isInShare, ringPlaces, type Share } from '../../wire/trust/index.ts';
import type { DeviceView } from './device-view.ts';
import { isMember } from './target-name.ts';

/** The options that select the share of a group. */
export interface ShareFlags {
  readonly group?: string;
  /** `10%`, or `10-50%`. */
  readonly share?: string;
  readonly salt?: string;
  readonly withdraw?: true;
}

/**
 * The share that the options name; undefined for all of a group, and for devices by name.
 * @throws Refusal `usage`
 */
export function readShare({ group, share, salt, withdraw }: ShareFlags): Share | undefined {
  if (share === undefined) {
    if (salt === undefined) return undefined;
    throw new Refusal('usage', '--salt is for a share of a group: give it with --share');
  }
  if (group === undefined)
    throw new Refusal('usage', '--share is a share of a group: give it with --group NAME');
  if (withdraw === true)
    throw new Refusal('usage', 'a command is taken back from all of a group, not from a share: omit --share');
  if (salt !== undefined && (!isAcName(salt) || salt.length > 64)) {
    const form = 'a word of at most 64 lower-case letters, digits and dashes';
    throw new Refusal('usage', `--salt takes ${form}, not ${JSON.stringify(salt)}`);
  }
  const [, first = '0', last = ''] =
    /^(?:(\d{1,3}(?:\.\d{1,3})?)%?-)?(\d{1,3}(?:\.\d{1,3})?)%$/.exec(share) ?? [];
  const [from, to] = [first, last].map((text) => Math.round((Number(text) / 100) * ringPlaces));
  if (last === '' || from === undefined || to === undefined || from >= to || to > ringPlaces) {
    const form = 'a percentage of the group such as 10%, or a part of it such as 10-50%';
    throw new Refusal('usage', `--share takes ${form}, not ${JSON.stringify(share)}`);
  }
  if (to - from === ringPlaces) return undefined;
  return { from, to, ...(salt === undefined ? {} : { salt }) };
}

/** A share in words, to hundredths of a per cent. Only the end of the ring is 100 %. */
export function shareInWords({ from, to, salt }: Share): string {
  const percent = (place: number): string =>
    place === ringPlaces ? '100' : String(Math.min(99.99, Math.round((place / ringPlaces) * 10_000) / 100));
  const salted = salt === undefined ? '' : ` (salt ${salt})`;
  return `the share ${percent(from)}-${percent(to)}%${salted}`;
}

/** Whether a device reports to be in the group, and is in the share of it. */
export function isAddressed(view: DeviceView, fleet: string, group: string, share?: Share): boolean {
  return isMember(view, group) && isInShare(share, fleet, view.device);
}

/** The effect of a command for a share on the known devices. */
export interface ShareForecast {
  /** The number of devices that report to be in the group, or that fleet.toml lists. */
  readonly known: number;
  /** The number of these in the share. */
  readonly inside: number;
  /**
   * Members outside the share that have not received the last version for all of the group. The
   * broker keeps one message, so they cannot get it now.
   */
  readonly behind: readonly string[];
}

/**
 * @param listed by fleet.toml
 * @param whole the last version that was published for all of the group; 0 when there is none
 */
export function forecastShare(
  views: readonly DeviceView[],
  listed: readonly string[],
  to: { readonly fleet: string; readonly group: string; readonly share: Share; readonly whole: number },
): ShareForecast {
  const { fleet, group, share, whole } = to;
  const members = views.filter((view) => isMember(view, group));
  const known = new Set([...members.map(({ device }) => device), ...listed]);
  // A device that has since trusted a command for a share may have missed the version before it.
  const isBehind = ({ report }: DeviceView): boolean => {
    const mark = report?.groups?.find(({ name }) => name === group);
    const runs = report?.group === group ? report.currentVersion : whole;
    return whole > 0 && (mark?.withdrawn === true || (mark?.trustedVersion ?? 0) < whole || runs < whole);
  };
  return {
    known: known.size,
    inside: [...known].filter((device) => isInShare(share, fleet, device)).length,
    behind: members
      .filter((view) => !isInShare(share, fleet, view.device) && isBehind(view))
      .map(({ device }) => device),
  };
}
