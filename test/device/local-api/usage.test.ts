import { describe, expect, it } from 'vitest';
import { renderLoads } from '../../../src/cli/commands/device/top.ts';
import { type AppUsage, loadBetween, sampleUsage } from '../../../src/device/local-api/index.ts';
import { wherry } from '../../support/recording-terminal.ts';

const app = (name: string, cpuUsec: number | null, pid: number | null = 7): AppUsage => ({
  ...{ pod: 'web', app: name, pid, cpuUsec },
  ...{ memoryBytes: 3 << 20, memoryPeakBytes: null, memoryMaxBytes: 12 << 20, tasks: 2 },
});

describe('the load of apps', () => {
  it('[C184] is the processor time between two samples, of one processor', () => {
    const before = { monotonicMs: 1000, apps: [app('busy', 5_000_000), app('idle', 800)] };
    const after = { monotonicMs: 3000, apps: [app('idle', 800), app('busy', 8_000_000)] };
    expect(loadBetween(before, after).map((one) => [one.app, one.cpuPercent])).toEqual([
      ['idle', 0],
      ['busy', 150],
    ]);
  });

  it.each([
    ['was started again', app('main', 9_000_000, 7), app('main', 10, 8)],
    ['is new', app('other', 5, 7), app('main', 10, 8)],
    ['does not run', app('main', null, null), app('main', null, null)],
    ['has a counter that went back', app('main', 50), app('main', 10)],
  ])('[C184] is not known of an app that %s', (_what, then, now) => {
    const loads = loadBetween({ monotonicMs: 0, apps: [then] }, { monotonicMs: 500, apps: [now] });
    expect(loads).toEqual([{ ...now, cpuPercent: null }]);
  });

  it('is shown with the busiest app first, and with the values that the kernel lacks', () => {
    const text = renderLoads({ hasColour: false }, [
      { ...app('idle', 0), cpuPercent: 0.04 },
      { ...app('gone', null, null), memoryBytes: null, memoryMaxBytes: null, tasks: null, cpuPercent: null },
      { ...app('busy', 0), cpuPercent: 150 },
    ]);
    expect(text.split('\n')).toEqual([
      'POD  APP   CPU      MEMORY                      TASKS  PID',
      'web  busy  150.0 %  3.0 MiB of 12.0 MiB (25 %)  2      7',
      'web  idle  0.0 %    3.0 MiB of 12.0 MiB (25 %)  2      7',
      'web  gone  -        -                           -      -',
    ]);
    expect(renderLoads({ hasColour: false }, [])).toBe('there is no pod on this device');
  });

  it('refuses an unknown pod with a list of the pods', async () => {
    await expect(sampleUsage(() => 0, 'no-such-pod')).rejects.toMatchObject({ code: 'not-found' });
    expect(await wherry(['top', 'no-such-pod', '--json'])).toMatchObject({ status: 64 });
    expect(await wherry(['top', '--interval', '0'])).toMatchObject({ status: 64 });
  });
});
