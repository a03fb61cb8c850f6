import type { DeviceView } from './device-view.ts';

/** A device in one line. */
export interface DeviceLine {
  readonly device: string;
  readonly link: 'up' | 'down' | 'unknown';
  /** The version that runs; 0 when none, or when the device never reported. */
  readonly version: number;
  /** Of the deployment that is under way or ended last; `-` without one. */
  readonly phase: string;
  /** Of its pods; `-` when it runs none. */
  readonly health: 'healthy' | 'unhealthy' | '-';
  /** Why its last deployment or the last message failed. */
  readonly code?: string;
}

/** Thousands of devices in a few numbers; each list has the most frequent value first. */
export interface FleetSummary {
  readonly devices: number;
  readonly links: Counts;
  readonly versions: Counts;
  readonly phases: Counts;
  readonly health: Counts;
  readonly codes: Counts;
}

export type Counts = readonly { readonly value: string; readonly devices: number }[];

/** Which devices are wanted; what is absent excludes nobody. */
export interface DeviceFilter {
  readonly link?: string;
  readonly version?: number;
  readonly phase?: string;
  readonly health?: string;
  readonly code?: string;
  /** What the name begins with. */
  readonly prefix?: string;
}

export function deviceLine({ device, presence, report }: DeviceView): DeviceLine {
  const link = presence === undefined ? 'unknown' : presence.up ? 'up' : 'down';
  if (report === undefined) return { device, link, version: 0, phase: '-', health: '-' };
  const { deployment, refused, pods, currentVersion: version } = report;
  const code = deployment !== undefined && 'code' in deployment ? deployment.code : refused?.code;
  return {
    device,
    link,
    version,
    phase: deployment?.phase ?? '-',
    health: pods.length === 0 ? '-' : pods.every(({ healthy }) => healthy) ? 'healthy' : 'unhealthy',
    ...(code === undefined ? {} : { code }),
  };
}

export function isWanted(line: DeviceLine, filter: DeviceFilter): boolean {
  const { prefix, ...exact } = filter;
  if (prefix !== undefined && !line.device.startsWith(prefix)) return false;
  return Object.entries(exact).every(([key, value]) => line[key as keyof DeviceLine] === value);
}

export function summarise(lines: readonly DeviceLine[]): FleetSummary {
  return {
    devices: lines.length,
    links: counts(lines.map(({ link }) => link)),
    versions: counts(lines.map(({ version }) => String(version))),
    phases: counts(lines.map(({ phase }) => phase)),
    health: counts(lines.map(({ health }) => health)),
    codes: counts(lines.flatMap(({ code }) => code ?? [])),
  };
}

function counts(values: readonly string[]): Counts {
  const found = new Map<string, number>();
  for (const value of values) found.set(value, (found.get(value) ?? 0) + 1);
  return [...found]
    .map(([value, devices]) => ({ value, devices }))
    .sort((a, b) => b.devices - a.devices || (a.value < b.value ? -1 : 1));
}
