import {
  isMember,
  onEachMember,
  type DeviceView,
  type FleetDirectory,
  type FleetLink,
  type Published,
} from '../../../operator/fleet/index.ts';
import type { Context } from '../../context.ts';

/** How many devices a note names. */
const namedAtMost = 8;

/**
 * What is followed: the devices of a group answer for it. Notes on standard error say for whom
 * nobody waits.
 *
 * @param before views of before it was published
 */
export function followed(
  { terminal }: Pick<Context, 'terminal'>,
  means: { readonly fleet: FleetDirectory; readonly link: FleetLink },
  published: readonly Published[],
  { group, wait }: { readonly group?: string | undefined; readonly wait: boolean },
  before: readonly DeviceView[],
): readonly Published[] {
  if (group === undefined || !wait) return published;
  const members = published.flatMap((one) => onEachMember(means, one, group, before));
  if (members.length === 0) {
    const version = published[0]?.version ?? 0;
    terminal.err(`version ${version} of the group ${group} is published; no device reports to be in it\n`);
  }
  const reporting = new Set(before.filter(({ report }) => report !== undefined).map(({ device }) => device));
  const listed = means.fleet.config.groups.get(group) ?? [];
  const silent = listed.filter((device) => !reporting.has(device));
  if (silent.length > 0) {
    const more = silent.length - namedAtMost;
    const names = silent.slice(0, namedAtMost).join(', ') + (more > 0 ? ` and ${more} more` : '');
    terminal.err(
      `not waited for, although fleet.toml lists them in ${group}: the broker has no report of ${names}\n`,
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
