import { describe, expect, it } from 'vitest';
import {
  type AppSample,
  Probation,
  probationRules,
  whyUnhealthy,
} from '../../../src/device/health/probation.ts';
import { notAsked, type ProbeState } from '../../../src/device/health/probe-state.ts';
import { readCgroup } from '../../../src/device/health/cgroup.ts';

const well: AppSample = {
  app: 'web',
  activeState: 'active',
  subState: 'running',
  restarts: 0,
  lastResult: 'success',
};

function judgeAll(seconds: number, samples: readonly [atMs: number, sample: Partial<AppSample>][]): string[] {
  const probation = new Probation(probationRules(seconds), 0, [well]);
  return samples.map(([atMs, sample]) => probation.judge(atMs, [{ ...well, ...sample }]).outcome);
}

describe('a probation', () => {
  it('is passed after its whole length without a failure', () => {
    expect(
      judgeAll(10, [
        [0, {}],
        [9_999, {}],
        [10_000, {}],
      ]),
    ).toEqual(['waiting', 'waiting', 'healthy']);
  });

  it('starts again after a restart of the app', () => {
    expect(
      judgeAll(10, [
        [0, {}],
        [9_000, { restarts: 1 }],
        [18_999, { restarts: 1 }],
        [19_000, { restarts: 1 }],
      ]),
    ).toEqual(['waiting', 'waiting', 'waiting', 'healthy']);
  });

  it('ends when the app was restarted more than twice', () => {
    expect(
      judgeAll(10, [
        [0, {}],
        [1_000, { restarts: 2 }],
        [2_000, { restarts: 3 }],
      ]),
    ).toEqual(['waiting', 'waiting', 'unhealthy']);
  });

  it('is not passed without the broker, and fails if it stays away [C173]', () => {
    const judge = (
      rules: ReturnType<typeof probationRules>,
      looks: readonly [number, boolean][],
    ): string[] => {
      const probation = new Probation(rules, 0, [well]);
      return looks.map(([atMs, connected]) => {
        const broker = connected ? { connected, answeredMs: atMs } : { connected };
        return probation.judge(atMs, [well], broker).outcome;
      });
    };
    const rules = probationRules(10, 61_000);
    expect(
      judge(rules, [
        [0, false],
        [20_000, false],
        [60_999, false],
        [61_000, false],
      ]),
    ).toEqual(['waiting', 'waiting', 'waiting', 'unhealthy']);
    expect(
      judge(rules, [
        [0, true],
        [5_000, false],
        [65_000, true],
        [74_999, true],
        [75_000, true],
      ]),
    ).toEqual(['waiting', 'waiting', 'waiting', 'waiting', 'healthy']);
    expect(
      judge(probationRules(10), [
        [0, false],
        [10_000, false],
      ]),
    ).toEqual(['waiting', 'healthy']);
    // A loss within its bound does not end a probation before that bound.
    expect(probationRules(10, 3_660_000).deadlineMs).toBeGreaterThan(3_660_000);
  });

  it('ends at once when the unit has failed', () => {
    expect(judgeAll(10, [[500, { activeState: 'failed', lastResult: 'exit-code' }]])).toEqual(['unhealthy']);
  });

  const failing: ProbeState = { ...notAsked, state: 'failing', failures: 3, detail: 'HTTP 500' };

  it('is not passed while the probe fails, and ends at its deadline', () => {
    const probation = new Probation(probationRules(10), 0, [well]);
    expect(probation.judge(80_000, [{ ...well, probe: failing }]).outcome).toBe('waiting');
    expect(probation.judge(90_000, [{ ...well, probe: failing }])).toEqual({
      outcome: 'unhealthy',
      app: 'web',
      reason: 'does not pass its probe: HTTP 500',
      byProbe: true,
    });
  });

  it.each(['starting', 'failing'] as const)('[C132] counts the successes of a probe that is %s', (state) => {
    const probation = new Probation(probationRules(10), 0, [well]);
    const probe: ProbeState = { state, successes: 2, failures: 0, detail: 'exit status 0' };
    expect(probation.judge(90_000, [{ ...well, probe }])).toMatchObject({
      reason: 'has too few successes of its probe in a row, 2: exit status 0',
      byProbe: true,
    });
  });

  it('is not passed before the probe has passed', () => {
    const passing: ProbeState = { ...failing, state: 'passing' };
    expect(
      judgeAll(10, [
        [0, { probe: notAsked }],
        [11_000, { probe: passing }],
        [20_999, { probe: passing }],
        [21_000, { probe: passing }],
      ]),
    ).toEqual(['waiting', 'waiting', 'waiting', 'healthy']);
  });

  it('ends at once when a probe fails after the announced start time', () => {
    const probation = new Probation(probationRules(10), 0, [well]);
    const sample = { ...well, hasStartPeriod: true };
    expect(probation.judge(1000, [{ ...sample, probe: notAsked }]).outcome).toBe('waiting');
    expect(probation.judge(2000, [{ ...sample, probe: failing }])).toMatchObject({
      outcome: 'unhealthy',
      byProbe: true,
    });
  });

  it('an app that ended does not count as a failed probe', () => {
    const probation = new Probation(probationRules(10), 0, [well]);
    const ended = { ...well, activeState: 'activating', subState: 'auto-restart', probe: failing };
    expect(probation.judge(90_000, [ended])).toMatchObject({ outcome: 'unhealthy', byProbe: false });
  });
});

describe('the readings of a control group', () => {
  it('are read from the files of the kernel', () => {
    const files: Record<string, string> = {
      'memory.current': '1048576\n',
      'memory.max': '67108864\n',
      'memory.events': 'low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 1\n',
      'cpu.stat': 'usage_usec 2500\nuser_usec 2000\n',
      'pids.current': '3\n',
    };
    expect(readCgroup('/x', (_group, file) => files[file])).toEqual({
      memoryBytes: 1048576,
      memoryMaxBytes: 67108864,
      oomKills: 1,
      cpuUsec: 2500,
      tasks: 3,
    });
  });

  it('are empty when the controller is missing or nothing is limited', () => {
    expect(readCgroup('/x', (_group, file) => (file === 'memory.max' ? 'max\n' : undefined))).toEqual({
      oomKills: 0,
    });
  });
});

describe('a probation with a scheduled pod', () => {
  const between: Partial<AppSample> = { timer: 'active', activeState: 'inactive', subState: 'dead' };
  const failed: Partial<AppSample> = { ...between, activeState: 'failed', lastResult: 'exit-code' };
  const judge = (first: Partial<AppSample>, ...samples: readonly Partial<AppSample>[]) => {
    const probation = new Probation(probationRules(10), 0, [{ ...well, ...first }]);
    return samples.map((sample, at) => probation.judge(at * 5000, [{ ...well, ...sample }]).outcome);
  };

  it('is passed without a run, and with successful runs [C220]', () => {
    expect(judge(between, between, between, between).at(-1)).toBe('healthy');
    const running: Partial<AppSample> = { timer: 'active' };
    expect(judge(between, running, between, running).at(-1)).toBe('healthy');
  });

  it('is not passed while the timer does not wait', () => {
    const stopped = { ...between, timer: 'inactive' };
    expect(judge(stopped, stopped, stopped, stopped)).toEqual(['waiting', 'waiting', 'waiting']);
    expect(whyUnhealthy({ ...well, ...stopped })).toBe('is not scheduled: its timer is inactive');
  });

  it('ends with a run that fails [C220]', () => {
    expect(judge(between, between, failed)).toEqual(['waiting', 'unhealthy']);
    expect(judge(failed, failed)).toEqual(['unhealthy']);
    const again = (restarts: number): Partial<AppSample> => ({
      ...{ ...failed, activeState: 'activating', subState: 'auto-restart', restarts },
    });
    expect(judge(between, again(0), again(1), again(2), again(3)).slice(-2)).toEqual([
      'waiting',
      'unhealthy',
    ]);
    expect(whyUnhealthy({ ...well, ...failed })).toBe('ended with exit-code');
  });
});
