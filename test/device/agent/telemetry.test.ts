import { execFileSync } from 'node:child_process';
import { assert, boolean, integer, property, record } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lookAtDevice } from '../../../src/device/agent/look-at-numbers.ts';
import { hasMoved, isNews } from '../../../src/device/agent/news.ts';
import { type Readings, telemetryOf } from '../../../src/device/agent/readings.ts';
import { sendTelemetry } from '../../../src/device/agent/telemetry-schedule.ts';
import { decodeTelemetry, encodeTelemetry, type Telemetry } from '../../../src/wire/report/index.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { sampleReport } from '../../support/sample-messages.ts';
import { sampleReadings } from '../../support/sample-readings.ts';

const later = sampleReadings({
  atMs: 1_767_225_900_000,
  monotonicMs: 300_000,
  stat: 'cpu  1100 0 550 8800 550 0 0 0 0 0\n',
  apps: [
    { pod: 'web', app: 'nginx', restarts: 1, oomKills: 0, memoryBytes: 20_000_000, cpuUsec: 31_000_000 },
  ],
});

describe('telemetry of a device', () => {
  it('[C190] has the numbers of the device and of its apps', () => {
    expect(telemetryOf(sampleReadings(), later)).toEqual({
      format: 1,
      at: 1_767_225_900,
      device: {
        uptimeSeconds: 86_400,
        clockTrusted: true,
        cpuPercent: 15,
        memoryBytes: 400_000 * 1024,
        memoryTotalBytes: 1_000_000 * 1024,
        diskBytes: 4_000_000_000,
        diskTotalBytes: 16_000_000_000,
        temperatureCelsius: 52,
        load100: 52,
        throttled: false,
      },
      apps: [{ pod: 'web', app: 'nginx', restarts: 1, oomKills: 0, memoryBytes: 20_000_000, cpuPercent: 10 }],
    });
  });

  it('[C190] omits what a device cannot measure, and rates after one reading', () => {
    const { disk: _disk, ...bare } = sampleReadings({ temperatures: [], coolings: [], apps: [] });
    const texts = { stat: undefined, memory: undefined, load: undefined, firmware: undefined };
    expect(telemetryOf(undefined, { ...bare, ...texts })).toEqual({
      format: 1,
      at: 1_767_225_600,
      device: { uptimeSeconds: 86_400, clockTrusted: true },
      apps: [],
    });
    expect(telemetryOf(undefined, later).device.cpuPercent).toBeUndefined();
    expect(telemetryOf(undefined, later).apps[0]?.cpuPercent).toBeUndefined();
  });

  it.each([
    ['a hot processor', { coolings: ['0', '2'] }, true],
    ['a weak supply now', { coolings: [], firmware: '50005\n' }, true],
    ['a weak supply before', { coolings: [], firmware: '50000\n' }, false],
  ])('[C190] knows of %s', (_words, changes, throttled) => {
    expect(telemetryOf(undefined, sampleReadings(changes)).device.throttled).toBe(throttled);
  });

  it('[C190] has no rate of a restarted app', () => {
    const [app] = later.apps;
    const restarted = { ...later, apps: app === undefined ? [] : [{ ...app, cpuUsec: 5 }] };
    expect(telemetryOf(sampleReadings(), restarted).apps[0]?.cpuPercent).toBeUndefined();
  });

  it('[C190] agrees with the usual tools on this machine', async () => {
    const readings = { ...sampleReadings(), ...(await lookAtDevice('/')) };
    const { device } = telemetryOf(undefined, readings);
    const total = Number(/^Mem:\s+(\d+)/m.exec(execFileSync('free', ['-b'], { encoding: 'utf8' }))?.[1]);
    const size = Number(
      execFileSync('df', ['-B1', '--output=size', '/'], { encoding: 'utf8' }).split('\n')[1],
    );
    expect(device.memoryTotalBytes).toBe(total);
    expect(device.diskTotalBytes).toBe(size);
    expect(device.uptimeSeconds).toBeGreaterThan(0);
    expect(device.load100).toBeGreaterThanOrEqual(0);
    expect(decodeTelemetry(encodeTelemetry(telemetryOf(undefined, readings)))).toEqual(
      telemetryOf(undefined, readings),
    );
  });
});

describe('published telemetry', () => {
  const base = telemetryOf(sampleReadings(), later);
  const device = (changes: Partial<Telemetry['device']>): Telemetry => ({
    ...base,
    device: { ...base.device, ...changes },
  });
  const app = (changes: Partial<Telemetry['apps'][number]>): Telemetry => ({
    ...base,
    apps: base.apps.map((one) => ({ ...one, ...changes })),
  });

  it.each<[string, Telemetry, boolean]>([
    ['nothing', base, false],
    ['an hour passed', device({ uptimeSeconds: 90_000 }), false],
    ['the processor moves by 10 points', device({ cpuPercent: 25 }), false],
    ['the processor moves by 11 points', device({ cpuPercent: 26 }), true],
    ['memory moves by 4 % of all', device({ memoryBytes: 440_000 * 1024 }), false],
    ['memory moves by 6 % of all', device({ memoryBytes: 460_000 * 1024 }), true],
    ['it is 4 degrees colder', device({ temperatureCelsius: 48 }), true],
    ['it is slowed down', device({ throttled: true }), true],
    ['the clock is not kept', device({ clockTrusted: false }), true],
    [
      'the temperature is not known any more',
      { ...base, device: { uptimeSeconds: 1, clockTrusted: true } },
      true,
    ],
    ['an app has half a megabyte more', app({ memoryBytes: 20_500_000 }), false],
    ['an app has a fifth more', app({ memoryBytes: 24_000_000 }), true],
    ['an app restarted', app({ restarts: 2 }), true],
    ['an app ran out of memory', app({ oomKills: 1 }), true],
    ['an app is gone', { ...base, apps: [] }, true],
  ])('[C191] when %s', (_words, now, moved) => {
    expect(hasMoved(base, now)).toBe(moved);
  });

  it('[C191] has what changed since the last publication, so a slow drift is not lost', () => {
    const some = record({
      step: integer({ min: 1, max: 3 }),
      looks: integer({ min: 20, max: 60 }),
      up: boolean(),
    });
    assert(
      property(some, ({ step, looks, up }) => {
        let published = device({ temperatureCelsius: 20 });
        let now = published;
        for (let look = 0; look < looks; look++) {
          const { temperatureCelsius = 0 } = now.device;
          now = device({ temperatureCelsius: temperatureCelsius + (up ? step : -step) });
          if (hasMoved(published, now)) published = now;
          const error = (now.device.temperatureCelsius ?? 0) - (published.device.temperatureCelsius ?? 0);
          expect(Math.abs(error)).toBeLessThanOrEqual(3);
        }
      }),
    );
  });

  it('[C191] is read each interval, also after a reading that failed', async () => {
    const clock = new FakeClock();
    const sent: Telemetry[] = [];
    const errors: unknown[] = [];
    const hot = { ...later, temperatures: ['80000'] };
    const looks: (Readings | Error)[] = [sampleReadings(), later, new Error('no'), hot, hot];
    const look = () => {
      const next = looks.shift() ?? hot;
      return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
    };
    const stop = new AbortController();
    const ports = {
      ...{ clock, look },
      publish: (one: Telemetry) => void sent.push(one),
      onError: (error: unknown) => void errors.push(error),
    };
    const done = sendTelemetry(ports, 300, stop.signal);
    await clock.pass(1_800_000);
    // The first reading, the first with rates, the heat.
    expect(sent.map((one) => one.device.temperatureCelsius)).toEqual([52, 52, 80]);
    expect(errors).toHaveLength(1);
    stop.abort();
    await done;
  });
});

describe('a report that is due only by schedule', () => {
  const app = {
    name: 'web',
    imageId: 'sha512-1',
    state: 'active/running',
    restarts: 0,
    lastResult: 'success',
  };
  const report = (changes: object = {}, others: object = {}) =>
    sampleReport({
      pods: [
        {
          ...{ name: 'web', uuid: '00000000-0000-8000-8000-000000000000', healthy: true, isolators: [] },
          apps: [{ ...app, oomKills: 0, memoryBytes: 20_000_000, cpuUsec: 5, tasks: 3, ...changes }],
        },
      ],
      ...others,
    });
  it.each<[string, ReturnType<typeof report>, boolean]>([
    ['time passed', report({}, { seq: 2, at: 1_767_229_200 }), false],
    ['an app worked', report({ cpuUsec: 9_000_000, tasks: 4, memoryPeakBytes: 21_000_000 }), false],
    ['an app has a little more memory', report({ memoryBytes: 21_000_000 }), false],
    ['an app has much more memory', report({ memoryBytes: 30_000_000 }), true],
    ['an app is in another process', report({ pid: 7 }), true],
    ['an app failed', report({ state: 'failed/failed' }), true],
    ['the broker is another one', report({}, { broker: { url: 'mqtt://b', at: 2, of: 2 } }), true],
    ['there is no pod', sampleReport(), true],
  ])('[C191] is news when %s', (_words, now, news) => {
    expect(isNews(report(), now)).toBe(news);
  });
});
