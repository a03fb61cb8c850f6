import type { AppNumbers, DeviceReport, DeviceNumbers, Telemetry } from '../../wire/report/index.ts';

/**
 * Whether a scheduled message differs enough from the last one to be sent: an idle device on a
 * metered link sends nothing. Pure.
 */

/** How far a number must move to be published again. */
type Band = (before: number, total: number | undefined) => number;

const mebibyte = 2 ** 20;
const points =
  (width: number): Band =>
  () =>
    width;
const shareOfTotal =
  (share: number): Band =>
  (_before, total) =>
    (total ?? 0) * share;
const tenth: Band = (before) => Math.max(mebibyte, before / 10);
const any: Band = () => 0;
/** For the uptime, which always moves. */
const never: Band = () => Infinity;

const deviceBands: Record<keyof DeviceNumbers, Band> = {
  uptimeSeconds: never,
  clockTrusted: any,
  cpuPercent: points(10),
  memoryBytes: shareOfTotal(0.05),
  memoryTotalBytes: any,
  diskBytes: shareOfTotal(0.01),
  diskTotalBytes: any,
  temperatureCelsius: points(3),
  load100: points(100),
  throttled: any,
};

const appBands: Record<keyof AppNumbers, Band> = {
  pod: any,
  app: any,
  restarts: any,
  oomKills: any,
  cpuPercent: points(10),
  memoryBytes: tenth,
};

/** Whether one number of `now` is beyond its band around what was published. */
export function hasMoved(published: Telemetry, now: Telemetry): boolean {
  const { device, apps } = now;
  if (apps.length !== published.apps.length) return true;
  const totals = { memoryBytes: device.memoryTotalBytes, diskBytes: device.diskTotalBytes };
  return (
    differ(deviceBands, published.device, device, totals) ||
    apps.some((app, at) => differ(appBands, published.apps[at] ?? {}, app, {}))
  );
}

type Numbers = Readonly<Record<string, unknown>>;

function differ(
  bands: Readonly<Record<string, Band>>,
  before: object,
  now: object,
  totals: Readonly<Record<string, number | undefined>>,
): boolean {
  return Object.entries(bands).some(([key, band]) => {
    const [was, is] = [(before as Numbers)[key], (now as Numbers)[key]];
    if (typeof was !== 'number' || typeof is !== 'number') return was !== is;
    return Math.abs(is - was) > band(was, totals[key]);
  });
}

/**
 * Whether a report that only the schedule requires is worth sending. Times and counters that always
 * move do not count, nor does the memory of an app that moved by less than a tenth.
 */
export function isNews(published: DeviceReport, now: DeviceReport): boolean {
  const steady = (report: DeviceReport): string =>
    JSON.stringify({
      ...report,
      seq: 0,
      at: 0,
      pods: report.pods.map((pod) => ({ ...pod, apps: pod.apps.map(withoutNumbers) })),
    });
  if (steady(published) !== steady(now)) return true;
  const memories = (report: DeviceReport): (number | undefined)[] =>
    report.pods.flatMap(({ apps }) => apps.map(({ memoryBytes }) => memoryBytes));
  const before = memories(published);
  return memories(now).some((memoryBytes, at) => {
    return differ({ memoryBytes: tenth }, { memoryBytes: before[at] }, { memoryBytes }, {});
  });
}

function withoutNumbers(app: DeviceReport['pods'][number]['apps'][number]): object {
  const { memoryBytes: _memory, memoryPeakBytes: _peak, cpuUsec: _cpu, tasks: _tasks, ...steady } = app;
  return steady;
}
