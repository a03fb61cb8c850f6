import { parseAcName } from '../../image/appc/index.ts';
import { deviceTopics, groupTopic, parseDeviceTopic, parseGroupTopic } from '../../wire/report/index.ts';
import { groupOf, type Target } from '../../wire/trust/index.ts';
import type { DeviceView } from './device-view.ts';

/**
 * A target as one word, for file names and lists: the name of a device, or `@` and the name of a
 * group. No AC Name has an `@`.
 */
export type TargetName = string;

export function targetName(target: Target): TargetName {
  return 'device' in target ? target.device : `@${target.group}`;
}

/** @throws an error for a text that `targetName` cannot return */
export function parseTargetName(name: TargetName): Target {
  return name.startsWith('@') ? { group: parseAcName(name.slice(1)) } : { device: parseAcName(name) };
}

/** The topic on which commands for a target are retained. @throws Refusal `input-invalid` */
export function commandTopic(fleet: string, name: TargetName): string {
  return name.startsWith('@') ? groupTopic(fleet, name.slice(1)) : deviceTopics(fleet, name).desired;
}

/** The target whose commands a topic carries; undefined for every other topic. */
export function targetOfTopic(fleet: string, topic: string): TargetName | undefined {
  const device = parseDeviceTopic(topic);
  if (device?.fleet === fleet && device.kind === 'desired') return device.device;
  const group = parseGroupTopic(topic);
  return group?.fleet === fleet ? `@${group.group}` : undefined;
}

/** Whether a device reports that it is in a group. */
export function isMember({ report }: DeviceView, group: string): boolean {
  return report?.groups?.some(({ name }) => name === group) === true;
}

/** The highest version of a target that any of the devices trusts, as they report. */
export function trustedOf(views: readonly DeviceView[], name: TargetName): number {
  const group = groupOf(parseTargetName(name));
  const versions = views.map(({ device, report }) => {
    if (group === undefined) return device === name ? (report?.trustedVersion ?? 0) : 0;
    return report?.groups?.find((one) => one.name === group)?.trustedVersion ?? 0;
  });
  return Math.max(0, ...versions);
}
