import {
  forecastShare,
  isMember,
  onEachMember,
  targetName,
  versionsForAll,
  type DeviceView,
  type FleetDirectory,
  type FleetLink,
  type Published,
} from '../../../operator/fleet/index.ts';
import { parseAcName } from '../../../image/appc/index.ts';
import { isInShare, type Share } from '../../../wire/trust/index.ts';
import type { Context } from '../../context.ts';
import { firstNames } from '../../format.ts';

/**
 * What to follow: for a group, each of its devices. Notes on standard error name the devices that
 * are not waited for.
 *
 * @param before the views from before it was published
 */
export function followed(
  { terminal }: Pick<Context, 'terminal'>,
  means: { readonly fleet: FleetDirectory; readonly link: FleetLink },
  published: readonly Published[],
  {
    group,
    wait,
    share,
  }: { readonly group?: string | undefined; readonly wait: boolean; readonly share?: Share | undefined },
  before: readonly DeviceView[],
): readonly Published[] {
  if (group === undefined || !wait) return published;
  const members = published.flatMap((one) => onEachMember(means, one, group, before, share));
  if (members.length === 0) {
    const version = published[0]?.version ?? 0;
    const where = share === undefined ? 'it' : 'it and has a place in its share';
    terminal.err(
      `version ${version} of the group ${group} is published; no device reports to be in ${where}\n`,
    );
  }
  const reporting = new Set(before.filter(({ report }) => report !== undefined).map(({ device }) => device));
  const listed = means.fleet.config.groups.get(group) ?? [];
  const { fleet } = means.fleet.config;
  const silent = listed.filter((device) => !reporting.has(device) && isInShare(share, fleet, device));
  if (silent.length > 0) {
    terminal.err(
      `not waited for, although fleet.toml lists them in ${group}: the broker has no report of ${firstNames(silent)}\n`,
    );
  }
  return members;
}

/**
 * Names the devices for which the operator's list and their own reports differ about who is in a
 * group: that decides who can read its secrets.
 */
export function noteReaders(
  { terminal }: Pick<Context, 'terminal'>,
  group: string,
  listed: readonly string[],
  views: readonly DeviceView[],
): void {
  for (const view of views) {
    const { device, report } = view;
    if (report === undefined || listed.length === 0) continue;
    if (isMember(view, group) === listed.includes(device)) continue;
    terminal.err(
      listed.includes(device)
        ? `${device} can read these secrets and does not report to be in ${group}: is it still to be listed in fleet.toml?\n`
        : `${device} reports to be in ${group} and cannot read this command: fleet.toml does not list it\n`,
    );
  }
}

/** Notes how many devices are in a share, and which of the others it leaves behind. */
export async function noteShare(
  { terminal }: Pick<Context, 'terminal'>,
  fleet: FleetDirectory,
  group: string,
  share: Share,
  views: readonly DeviceView[],
): Promise<void> {
  const { fleet: name, groups } = fleet.config;
  const target = targetName({ group: parseAcName(group) });
  const whole = (await versionsForAll(fleet, target)).at(-1)?.version ?? 0;
  const to = { fleet: name, group, share, whole };
  const { known, inside, behind } = forecastShare(views, groups.get(group) ?? [], to);
  terminal.err(`${inside} of ${known} known devices of the group ${group} are in this share\n`);
  const [first, ...others] = behind;
  if (first === undefined) return;
  const who = others.length === 0 ? `${first} is` : `${first} and ${others.length} more devices are`;
  terminal.err(
    `${who} outside of it without version ${whole} of the group, and cannot get it while this share is on the broker\n`,
  );
}
