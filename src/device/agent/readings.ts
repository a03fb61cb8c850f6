import type { AppNumbers, DeviceNumbers, Telemetry } from '../../wire/report/index.ts';

/** One reading of the kernel's numbers. Counters become rates only with a second reading. */
export interface Readings {
  readonly atMs: number;
  readonly monotonicMs: number;
  readonly clockTrusted: boolean;
  /** Bytes of the file system: used and total. */
  readonly disk?: { readonly usedBytes: number; readonly totalBytes: number };
  /** Texts of files; undefined where this device has none. */
  readonly stat?: string | undefined;
  readonly memory?: string | undefined;
  readonly load?: string | undefined;
  readonly uptime?: string | undefined;
  /** Thousandths of a degree, of each zone. */
  readonly temperatures: readonly string[];
  /** States of the devices that throttle the processor to cool it; 0 is not throttled. */
  readonly coolings: readonly string[];
  /** Bits of a Raspberry Pi's firmware, in hexadecimal; the lowest four describe the present. */
  readonly firmware?: string | undefined;
  readonly apps: readonly AppReading[];
}

export interface AppReading extends Omit<AppNumbers, 'cpuPercent'> {
  readonly cpuUsec?: number;
}

/**
 * Makes the message of a reading. @param before the previous reading; without it there are no rates
 */
export function telemetryOf(before: Readings | undefined, now: Readings): Telemetry {
  return {
    format: 1,
    at: Math.floor(now.atMs / 1000),
    device: deviceNumbers(before, now),
    apps: now.apps.map((app) => appNumbers(before, now, app)),
  };
}

function deviceNumbers(before: Readings | undefined, now: Readings): DeviceNumbers {
  const total = kilobytes(now.memory, 'MemTotal');
  const available = kilobytes(now.memory, 'MemAvailable');
  const degrees = now.temperatures.map(Number).filter(Number.isFinite);
  const load = Number.parseFloat(now.load ?? '');
  return defined({
    uptimeSeconds: Math.trunc(Number.parseFloat(now.uptime ?? '') || 0),
    clockTrusted: now.clockTrusted,
    cpuPercent: cpuPercent(before?.stat, now.stat),
    memoryBytes: total === undefined || available === undefined ? undefined : total - available,
    memoryTotalBytes: total,
    diskBytes: now.disk?.usedBytes,
    diskTotalBytes: now.disk?.totalBytes,
    temperatureCelsius: degrees.length === 0 ? undefined : Math.round(Math.max(...degrees) / 1000),
    load100: Number.isNaN(load) ? undefined : Math.round(load * 100),
    throttled: throttled(now),
  });
}

function appNumbers(before: Readings | undefined, now: Readings, app: AppReading): AppNumbers {
  const { cpuUsec, ...numbers } = app;
  const earlier = before?.apps.find((one) => one.pod === app.pod && one.app === app.app)?.cpuUsec;
  const tookMs = now.monotonicMs - (before?.monotonicMs ?? now.monotonicMs);
  // A restarted app counts from 0.
  if (cpuUsec === undefined || earlier === undefined || cpuUsec < earlier || tookMs <= 0) return numbers;
  return { ...numbers, cpuPercent: Math.round((cpuUsec - earlier) / 10 / tookMs) };
}

/**
 * proc(5), /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, … of all processors.
 */
function cpuPercent(before: string | undefined, now: string | undefined): number | undefined {
  const [earlier, later] = [cpuTimes(before), cpuTimes(now)];
  if (earlier === undefined || later === undefined || later.all <= earlier.all) return undefined;
  const share = 1 - (later.idle - earlier.idle) / (later.all - earlier.all);
  return Math.min(100, Math.max(0, Math.round(share * 100)));
}

function cpuTimes(stat: string | undefined): { all: number; idle: number } | undefined {
  const times = /^cpu +([\d ]+)$/m
    .exec(stat ?? '')?.[1]
    ?.split(' ')
    .slice(0, 8)
    .map(Number);
  if (times === undefined) return undefined;
  return { all: times.reduce((sum, one) => sum + one, 0), idle: (times[3] ?? 0) + (times[4] ?? 0) };
}

/** proc(5), /proc/meminfo. @returns bytes */
function kilobytes(meminfo: string | undefined, key: string): number | undefined {
  const found = new RegExp(`^${key}: +(\\d+) kB$`, 'm').exec(meminfo ?? '')?.[1];
  return found === undefined ? undefined : Number(found) * 1024;
}

function throttled({ coolings, firmware }: Readings): boolean | undefined {
  const bits = Number.parseInt(firmware ?? '', 16);
  if (coolings.length === 0 && Number.isNaN(bits)) return undefined;
  return coolings.some((state) => Number(state) > 0) || (bits & 0xf) !== 0;
}

function defined<T extends object>(value: T): { [Key in keyof T]: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as {
    [Key in keyof T]: Exclude<T[Key], undefined>;
  };
}
