import { describe, expect, it } from 'vitest';
import type { Systemd, UnitStatus } from '../../../src/device/systemd/index.ts';
import { PodWatch } from '../../../src/device/world/pod-watch.ts';
import { watchProbation } from '../../../src/device/world/watch-probation.ts';
import { ProbeWatch } from '../../../src/device/world/probe-watch.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { deployedPod } from '../../support/world-model.ts';

const timer = 'web.timer';

/** A watch of pods over a systemd whose units have these states. */
function watched(
  states: Map<string, Partial<UnitStatus>>,
  watch: Systemd['watch'] = () => () => undefined,
): PodWatch {
  const status = (name: string): Promise<UnitStatus> =>
    Promise.resolve({
      ...{ name, activeState: 'inactive', subState: 'dead' },
      ...states.get(name),
    });
  const systemd = { status, watch } as Partial<Systemd> as Systemd;
  const probes = new ProbeWatch({
    ...{ systemd, clock: new FakeClock(), journal: { log: () => undefined } },
    ask: () => Promise.reject(new Error('no app has a probe')),
  });
  return new PodWatch({ systemd, probes, readCgroupFile: () => undefined, readAddresses: () => [] });
}

describe('the report of a pod', () => {
  const ended = (result: string): Partial<UnitStatus> => ({
    ...{ activeState: result === 'success' ? 'inactive' : 'failed', result },
  });

  it('that is scheduled has the result and health of its last run and timer [C221]', async () => {
    const pod = { ...deployedPod('web'), timer };
    const states = new Map<string, Partial<UnitStatus>>([[timer, { activeState: 'active' }]]);
    const watch = watched(states);
    watch.follow([pod]);
    const told = async (status: Partial<UnitStatus>) => {
      states.set('web.service', status);
      const { healthy, apps } = await watch.report(pod);
      return [healthy, apps[0]?.lastResult];
    };
    expect(await told(ended('success'))).toEqual([true, 'success']);
    expect(await told(ended('exit-code'))).toEqual([false, 'exit-code']);
    // systemd resets the result when the next run begins.
    expect(await told({ activeState: 'active', result: 'success' })).toEqual([true, 'exit-code']);
    expect(await told(ended('success'))).toEqual([true, 'success']);
    states.set(timer, { activeState: 'inactive' });
    expect(await told(ended('success'))).toEqual([false, 'success']);
  });

  it('has the result from a signal of systemd, even after systemd has dropped it', async () => {
    const pod = deployedPod('web');
    let tell: Parameters<Systemd['watch']>[0] = () => undefined;
    const watch = watched(
      new Map([['web.service', { activeState: 'active', result: 'success' }]]),
      (listener) => {
        tell = listener;
        return () => undefined;
      },
    );
    watch.follow([pod]);
    let changes = 0;
    watch.start(() => changes++);
    for (const result of ['exit-code', undefined, 'success']) tell('web.service', result);
    tell('other.service', 'oom-kill');
    expect(changes).toBe(3);
    expect((await watch.report(pod)).apps[0]?.lastResult).toBe('exit-code');
  });

  it('that a restart had to kill is not yet lost for a probation', async () => {
    const pod = deployedPod('web');
    const states = new Map<string, Partial<UnitStatus>>([
      ['web.service', { activeState: 'failed', result: 'signal', isToStart: true }],
    ]);
    const [observed] = await watched(states).observe(pod);
    expect(observed).toMatchObject({ sample: { activeState: 'activating', lastResult: 'signal' } });
    states.set('web.service', { activeState: 'failed', result: 'signal' });
    const [ended] = await watched(states).observe(pod);
    expect(ended).toMatchObject({ sample: { activeState: 'failed' } });
  });

  it('that keeps running keeps the reason of its restart', async () => {
    const pod = deployedPod('web');
    const states = new Map([['web.service', ended('exit-code')]]);
    const watch = watched(states);
    watch.follow([pod]);
    await watch.report(pod);
    states.set('web.service', { ...ended('success') });
    expect((await watch.report(pod)).apps[0]?.lastResult).toBe('exit-code');
  });
});

const answeringBroker = { connected: () => true, reach: () => Promise.resolve(true), bootSpreadMs: 0 };

describe('the probation of a set with a scheduled pod [C220]', () => {
  const backup = { ...deployedPod('web'), timer };
  const after = async (unchanged: readonly string[]) => {
    const states = new Map<string, Partial<UnitStatus>>([
      [timer, { activeState: 'active' }],
      ['web.service', { activeState: 'failed', result: 'exit-code' }],
    ]);
    const ports = { clock: new FakeClock(), watch: watched(states), broker: answeringBroker };
    await watchProbation([backup], { seconds: 0, unchanged }, ports, new AbortController().signal);
  };

  it('fails with a run of the new version', async () => {
    await expect(after([])).rejects.toMatchObject({
      code: 'probation-failed',
      message: 'app main of pod web ended with exit-code',
    });
  });

  it('does not count a run of a pod that the deployment has not changed', async () => {
    await expect(after([timer])).resolves.toBeUndefined();
  });
});

describe('the probation of pods whose apps have the same name [C273]', () => {
  it('does not count earlier restarts, which systemd still counts', async () => {
    const states = new Map<string, Partial<UnitStatus>>([
      ['web.service', { activeState: 'active', restarts: 7 }],
      ['shop.service', { activeState: 'active', restarts: 0 }],
    ]);
    const ports = { clock: new FakeClock(), watch: watched(states), broker: answeringBroker };
    const pods = ['web', 'shop'].map((name) => deployedPod(name));
    await expect(
      watchProbation(pods, { seconds: 0 }, ports, new AbortController().signal),
    ).resolves.toBeUndefined();
  });
});

describe('the probation of a set that may cut the device off [C173]', () => {
  const seconds = 10;
  const judged = (broker: Partial<typeof answeringBroker>, reconnectWindowMs = 1000) => {
    const clock = new FakeClock();
    const states = new Map<string, Partial<UnitStatus>>([['web.service', { activeState: 'active' }]]);
    const ports = { clock, watch: watched(states), broker: { ...answeringBroker, ...broker } };
    let end: unknown;
    const pods = [deployedPod('web')];
    watchProbation(pods, { seconds, reconnectWindowMs }, ports, new AbortController().signal).then(
      () => (end = 'passed'),
      (error: unknown) => (end = error),
    );
    return { clock, end: () => end };
  };
  const failed = {
    code: 'probation-failed',
    message: 'the device lost its broker under this version and did not get it back',
  };

  it('asks the broker once, when all apps have been healthy, and is passed with the answer', async () => {
    let asked = 0;
    let answer: (isAnswered: boolean) => void = () => undefined;
    const reach = () => {
      asked += 1;
      return new Promise<boolean>((resolve) => (answer = resolve));
    };
    const { clock, end } = judged({ reach });
    await clock.pass((seconds - 1) * 1000);
    expect(asked).toBe(0);
    await clock.pass(20_000);
    expect({ asked, end: end() }).toEqual({ asked: 1, end: undefined });
    answer(true);
    await clock.pass(1000);
    expect({ asked, end: end() }).toEqual({ asked: 1, end: 'passed' });
  });

  it('is passed in the moment of the answer', async () => {
    const { clock, end } = judged({ reach: () => Promise.resolve(true) });
    await clock.pass(seconds * 1000);
    await settle();
    expect({ end: end(), atMs: clock.monotonicMs() }).toEqual({ end: 'passed', atMs: seconds * 1000 });
  });

  it('fails when the connection looks open but the broker does not answer', async () => {
    const { clock, end } = judged({ reach: () => Promise.resolve(false) });
    await clock.pass((seconds + 60) * 1000);
    expect(end()).toBeUndefined();
    await clock.pass(1000);
    expect(end()).toMatchObject(failed);
  });

  it('gives a device that has just booted the time of its boot spread', async () => {
    const { clock, end } = judged({ connected: () => false, bootSpreadMs: 300_000 });
    await clock.pass(359_000);
    expect(end()).toBeUndefined();
    await clock.pass(1000);
    expect(end()).toMatchObject(failed);
  });
});
