import type { BrokerComparison } from '../../../operator/fleet/index.ts';
import type { DeviceReport } from '../../../wire/report/index.ts';

/**
 * Notes for people on what the broker keeps for a device, or for a group by `@NAME`; none when it
 * keeps what was published.
 */
export function brokerNotes({ device, version, memory, repeated }: BrokerComparison): string[] {
  const lost = {
    nothing: `the broker lost version ${version}, which was published from here`,
    older: `the broker forgot version ${version} and keeps version ${'version' in memory ? memory.version : ''}`,
    unreadable: `the broker keeps a message that is not a command in place of version ${version}; find out who may publish there`,
  };
  switch (memory.keeps) {
    case 'newest':
    case 'unknown':
      return [];
    case 'newer':
      return [
        `${device}: the broker keeps version ${memory.version}, which was not published from this fleet directory`,
      ];
    case 'other':
      return [
        `${device}: the broker keeps another version ${memory.version} than this fleet directory published; deploy again`,
      ];
    case 'encrypted':
      return [
        `${device}: the broker keeps another encrypted message than this fleet directory published; the answer of the device shows which version it is`,
      ];
    case 'nothing':
    case 'older':
    case 'unreadable':
      if (repeated === 'unsent')
        return [`${device}: version ${version} did not reach the broker; deploy again`];
      return [`${device}: ${lost[memory.keeps]}: ${repeated === undefined ? '' : repeatedNotes[repeated]}`];
  }
}

const repeatedNotes = {
  kept: 'it was published again',
  'not-kept':
    'it was published again, and the broker does not return it; check what this account may write and read there',
  expired: 'it has expired; deploy again',
  foreign: 'a newer version of another fleet directory has been trusted; deploy again from there',
} as const;

/**
 * The devices whose commands could not be read back, in one sentence; empty when there are none.
 */
export function unreadNotes(comparisons: readonly BrokerComparison[]): string[] {
  const devices = comparisons.flatMap(({ device, memory }) => (memory.keeps === 'unknown' ? [device] : []));
  if (devices.length === 0) return [];
  const names = devices.length > 3 ? `${devices.length} devices` : devices.join(', ');
  return [
    `what the broker keeps for ${names} could not be read back; let this account read the topics "desired"`,
  ];
}

/**
 * Why a device received an old command. A broker that lost the newer one sends the old one on every
 * connection, which looks to the device like a replay.
 */
export function olderCommandNote(
  { refused }: DeviceReport,
  comparison: BrokerComparison | undefined,
): string | undefined {
  if (refused?.code !== 'version-older' || refused.version === undefined || comparison === undefined)
    return undefined;
  const { memory, versions, version } = comparison;
  if (memory.keeps === 'older' && memory.version === refused.version) {
    return `the broker forgot version ${version} and offered the older one, as after a crash; this is not a replay`;
  }
  if (!versions.includes(refused.version)) return 'this version was not published from this fleet directory';
  return 'this version was published from here: the broker had forgotten a newer one, or somebody sent the old one again';
}
