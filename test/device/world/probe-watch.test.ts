import { describe, expect, it } from 'vitest';
import type { DeployedPod } from '../../../src/device/deploy/index.ts';
import type { ProbeOutcome } from '../../../src/device/health/index.ts';
import { usualRules } from '../../../src/device/pod/index.ts';
import type { Systemd } from '../../../src/device/systemd/index.ts';
import { ProbeWatch } from '../../../src/device/world/probe-watch.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { deployedPod } from '../../support/world-model.ts';

const bare = deployedPod('web');
const unit = bare.services[0]?.unit ?? '';
const web: DeployedPod = {
  ...bare,
  services: bare.services.map((service) => ({
    ...service,
    probe: { ask: { kind: 'tcp', port: 1 }, rules: { ...usualRules, failures: 2 } },
  })),
};

/** A device with one app, whose process and answers the test sets. */
function device() {
  const clock = new FakeClock();
  const lines: string[] = [];
  const app: { mainPid: number; outcome: ProbeOutcome; asked: number; changes: number; onAsk: () => void } = {
    mainPid: 7,
    outcome: { ok: true, detail: 'well' },
    asked: 0,
    changes: 0,
    onAsk: () => undefined,
  };
  let tell: (unit: string) => void = () => undefined;
  const systemd: Partial<Systemd> = {
    status: (name) =>
      Promise.resolve({
        ...{ name, subState: '', mainPid: app.mainPid },
        activeState: app.mainPid === 0 ? 'inactive' : 'active',
      }),
    watch: (listener) => {
      tell = listener;
      return () => (tell = () => undefined);
    },
  };
  const watch = new ProbeWatch({
    systemd: systemd as Systemd,
    clock,
    journal: { log: (level, message) => void lines.push(`${level}: ${message}`) },
    ask: () => {
      app.asked += 1;
      app.onAsk();
      return Promise.resolve(app.outcome);
    },
  });
  const end = watch.start(() => (app.changes += 1));
  const restart = (mainPid: number) => {
    app.mainPid = mainPid;
    tell(unit);
  };
  const state = () => watch.stateOf(unit, app.mainPid);
  return { app, clock, lines, watch, restart, state, end };
}

describe('a watch of probes', () => {
  it('probes an app at once, and then at its interval', async () => {
    const { app, clock, watch, state, end } = device();
    watch.follow([web]);
    expect(state()).toMatchObject({ state: 'starting' });
    await clock.pass(0);
    expect(state()).toMatchObject({ state: 'passing', detail: 'well' });
    await clock.pass(9_999);
    expect(app.asked).toBe(1);
    await clock.pass(1);
    expect(app.asked).toBe(2);
    end();
  });

  it('reports only when an app begins to fail and when it passes again', async () => {
    const { app, clock, lines, watch, end } = device();
    watch.follow([web]);
    await clock.pass(0);
    app.outcome = { ok: false, detail: 'HTTP 500' };
    await clock.pass(100_000);
    app.outcome = { ok: true, detail: 'HTTP 200' };
    await clock.pass(100_000);
    expect(lines).toEqual([
      'info: app main of pod web passes its probe: well',
      'warning: app main of pod web does not pass its probe: HTTP 500',
      'info: app main of pod web passes its probe: HTTP 200',
    ]);
    expect(app.changes).toBe(3);
    end();
  });

  it('starts again with each process of an app, without waiting for the interval', async () => {
    const { app, clock, watch, restart, state, end } = device();
    watch.follow([web]);
    await clock.pass(0);
    restart(0);
    await clock.pass(0);
    app.outcome = { ok: false, detail: 'not yet' };
    restart(8);
    expect(state()).toMatchObject({ state: 'starting', detail: 'was not probed yet' });
    await clock.pass(0);
    expect(state()).toMatchObject({ state: 'starting', detail: 'not yet' });
    await clock.pass(1000);
    expect(state()).toMatchObject({ state: 'failing' });
    end();
  });

  it('neither probes a stopped app nor counts one that ended during a probe', async () => {
    const { app, clock, watch, restart, state, end } = device();
    app.outcome = { ok: false, detail: 'gone' };
    app.onAsk = () => restart(9);
    watch.follow([web]);
    await clock.pass(0);
    expect(state()).toMatchObject({ failures: 0 });
    app.onAsk = () => undefined;
    restart(0);
    const { asked } = app;
    await clock.pass(60_000);
    expect(app.asked).toBeLessThanOrEqual(asked + 1);
    end();
  });

  it('ends with the pod', async () => {
    const { app, clock, watch, state, end } = device();
    watch.follow([web]);
    await clock.pass(0);
    watch.follow([]);
    await clock.pass(60_000);
    expect(app.asked).toBe(1);
    expect(state()).toBeUndefined();
    end();
  });
});
