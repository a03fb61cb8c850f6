import type { DeviceView } from './device-view.ts';

/** A device in one line. */
export interface DeviceLine {
  readonly device: string;
  readonly link: 'up' | 'down' | 'unknown';
  /** When the device made its last report, by its own clock, in seconds since 1970. */
  readonly reportedAt?: number;
  /** The version that runs; 0 when none, or when there is no report. */
  readonly version: number;
  /** The broker returned no report: then nothing below is known. */
  readonly unreported?: true;
  /** The group whose version that is; absent when it is the device's own. */
  readonly group?: string;
  readonly groups: readonly string[];
  /** NAME=VALUE */
  readonly labels: readonly string[];
  /** The phase of the deployment that is under way or ended last; `-` without one. */
  readonly phase: string;
  /** The health of its pods; `-` when it runs none. */
  readonly health: 'healthy' | 'unhealthy' | '-';
  /** Why its last deployment or the last message failed. */
  readonly code?: string;
  /** The device's note that its client certificate expires within 30 days or cannot be read. */
  readonly certificate?: string;
}

/** Thousands of devices in a few numbers; each list has the most frequent value first. */
export interface FleetSummary {
  readonly devices: number;
  readonly links: Counts;
  readonly versions: Counts;
  readonly groups: Counts;
  readonly phases: Counts;
  readonly health: Counts;
  readonly codes: Counts;
  /** How many devices need a new client certificate. */
  readonly certificates: number;
}

export type Counts = readonly { readonly value: string; readonly devices: number }[];

/** Which devices are selected; an absent member excludes none. */
export interface DeviceFilter {
  readonly link?: string;
  readonly version?: number;
  readonly phase?: string;
  readonly health?: string;
  readonly code?: string;
  /** Prefix of the name. */
  readonly prefix?: string;
  /** A group of the device, whatever version it runs. */
  readonly group?: string;
  /** NAME=VALUE, all of them. */
  readonly label?: readonly string[];
}

export function deviceLine({ device, presence, report }: DeviceView): DeviceLine {
  const link = presence === undefined ? 'unknown' : presence.up ? 'up' : 'down';
  if (report === undefined)
    return { device, link, version: 0, unreported: true, groups: [], labels: [], phase: '-', health: '-' };
  const { deployment, refused, pods, capabilities, currentVersion: version } = report;
  const lasting = capabilities.find(({ name }) => name === 'lasting-certificate');
  const code = deployment !== undefined && 'code' in deployment ? deployment.code : refused?.code;
  return {
    device,
    link,
    reportedAt: report.at,
    version,
    ...(report.group === undefined ? {} : { group: report.group }),
    groups: report.groups?.map(({ name }) => name) ?? [],
    labels: report.labels?.map(({ name, value }) => `${name}=${value}`) ?? [],
    phase: deployment?.phase ?? '-',
    health: pods.length === 0 ? '-' : pods.every(({ healthy }) => healthy) ? 'healthy' : 'unhealthy',
    ...(code === undefined ? {} : { code }),
    ...(lasting?.available === false ? { certificate: lasting.detail } : {}),
  };
}

/** The members of a filter that are compared; callers may have others, such as `--watch`. */
const exact = ['link', 'version', 'phase', 'health', 'code'] as const;

export function isWanted(line: DeviceLine, filter: DeviceFilter): boolean {
  const { prefix, group, label = [] } = filter;
  if (prefix !== undefined && !line.device.startsWith(prefix)) return false;
  if (group !== undefined && !line.groups.includes(group)) return false;
  if (!label.every((one) => line.labels.includes(one))) return false;
  return exact.every((key) => filter[key] === undefined || line[key] === filter[key]);
}

/** A version, and whose it is when it is not the device's own. */
export function versionInWords({
  version,
  group,
}: {
  readonly version: number;
  readonly group?: string | undefined;
}): string {
  return group === undefined ? String(version) : `${group}:${version}`;
}

export function summarise(lines: readonly DeviceLine[]): FleetSummary {
  return {
    devices: lines.length,
    links: counts(lines.map(({ link }) => link)),
    versions: counts(lines.map((line) => (line.unreported === true ? 'unknown' : versionInWords(line)))),
    groups: counts(lines.flatMap(({ groups }) => groups)),
    phases: counts(lines.map(({ phase }) => phase)),
    health: counts(lines.map(({ health }) => health)),
    codes: counts(lines.flatMap(({ code }) => code ?? [])),
    certificates: lines.filter(({ certificate }) => certificate !== undefined).length,
  };
}

function counts(values: readonly string[]): Counts {
  const found = new Map<string, number>();
  for (const value of values) found.set(value, (found.get(value) ?? 0) + 1);
  return [...found]
    .map(([value, devices]) => ({ value, devices }))
    .sort((a, b) => b.devices - a.devices || (a.value < b.value ? -1 : 1));
}
