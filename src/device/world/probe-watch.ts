import type { DeployedPod } from '../deploy/index.ts';
import {
  judgeProbe,
  nextProbeSeconds,
  notAsked,
  type ProbeOutcome,
  type ProbeState,
} from '../health/index.ts';
import type { CompiledProbe } from '../pod/index.ts';
import type { Clock, Journal } from '../../core/ports/index.ts';
import type { Systemd } from '../systemd/index.ts';

export interface ProbeWatchPorts {
  readonly systemd: Systemd;
  readonly clock: Clock;
  readonly journal: Journal;
  /** Probes an app once. */
  readonly ask: (probe: CompiledProbe, pod: DeployedPod) => Promise<ProbeOutcome>;
}

/** One probed app, while it is followed. */
interface ProbedApp {
  readonly pod: DeployedPod;
  readonly app: string;
  readonly unit: string;
  readonly probe: CompiledProbe;
  readonly end: AbortController;
  /** Main process of the run that `state` describes; 0 while the app does not run. */
  mainPid: number;
  startMs: number;
  state: ProbeState;
  /** Ends a pause of its loop when its unit has changed. */
  wake: AbortController;
}

/**
 * Probes the apps that have a probe, each at its own interval, while wherryd runs. A new process of
 * an app starts with a fresh state: outcomes of an earlier process do not apply to it.
 */
export class ProbeWatch {
  private readonly ports: ProbeWatchPorts;
  private readonly apps = new Map<string, ProbedApp>();
  private onChange: () => void = () => undefined;

  constructor(ports: ProbeWatchPorts) {
    this.ports = ports;
  }

  /**
   * Calls `onChange` when an app begins to pass or to fail; the returned function ends all probes.
   */
  start(onChange: () => void): () => void {
    this.onChange = onChange;
    const unwatch = this.ports.systemd.watch((unit) => this.apps.get(unit)?.wake.abort());
    return () => {
      unwatch();
      this.follow([]);
    };
  }

  /** Probes only the apps of `pods` from now on. */
  follow(pods: readonly DeployedPod[]): void {
    const wanted = new Map(
      pods.flatMap((pod) => pod.services.map((service) => [service.unit, { pod, service }])),
    );
    for (const [unit, { end }] of this.apps) {
      if (wanted.has(unit)) continue;
      this.apps.delete(unit);
      end.abort();
    }
    for (const [unit, { pod, service }] of wanted) {
      const { app, probe } = service;
      if (probe === undefined || this.apps.has(unit)) continue;
      const made = { pod, app, unit, probe, end: new AbortController(), wake: new AbortController() };
      const probed: ProbedApp = { ...made, mainPid: 0, startMs: 0, state: notAsked };
      this.apps.set(unit, probed);
      void this.attend(probed);
    }
  }

  /** The probe state of the process `mainPid` of an app; undefined when the app has no probe. */
  stateOf(unit: string, mainPid: number | undefined): ProbeState | undefined {
    const probed = this.apps.get(unit);
    if (probed === undefined) return undefined;
    return probed.mainPid === mainPid ? probed.state : notAsked;
  }

  private async attend(probed: ProbedApp): Promise<void> {
    while (!probed.end.signal.aborted) {
      let seconds = probed.probe.rules.intervalSeconds;
      try {
        if (await this.isRunning(probed)) {
          await this.ask(probed);
          seconds = nextProbeSeconds(probed.state, probed.probe.rules);
        }
      } catch (error) {
        this.ports.journal.log(
          'warning',
          `app ${probed.app} of pod ${probed.pod.name} could not be probed: ${String(error)}`,
        );
      }
      await this.pause(probed, seconds * 1000);
    }
  }

  /** Waits for `delayMs`, or until the app has a new process. */
  private async pause(probed: ProbedApp, delayMs: number): Promise<void> {
    const { clock } = this.ports;
    const until = clock.monotonicMs() + delayMs;
    while (!probed.end.signal.aborted && clock.monotonicMs() < until) {
      probed.wake = new AbortController();
      const signal = AbortSignal.any([probed.end.signal, probed.wake.signal]);
      await clock.sleep(until - clock.monotonicMs(), signal).catch(() => undefined);
      if (probed.wake.signal.aborted && (await this.hasNewProcess(probed))) return;
    }
  }

  private async hasNewProcess({ unit, mainPid }: ProbedApp): Promise<boolean> {
    const status = await this.ports.systemd.status(unit).catch(() => undefined);
    return status?.activeState === 'active' && status.mainPid !== mainPid;
  }

  private async isRunning(probed: ProbedApp): Promise<boolean> {
    const { activeState, mainPid = 0 } = await this.ports.systemd.status(probed.unit);
    const running = activeState === 'active' ? mainPid : 0;
    if (running !== probed.mainPid) {
      probed.mainPid = running;
      probed.startMs = this.ports.clock.monotonicMs();
      probed.state = notAsked;
    }
    return running !== 0;
  }

  private async ask(probed: ProbedApp): Promise<void> {
    const { pod, probe, mainPid } = probed;
    const outcome = await this.ports.ask(probe, pod).catch((error: unknown) => ({
      ok: false,
      detail: error instanceof Error ? error.message : String(error),
    }));
    // The outcome of a process that has ended does not apply to the next one.
    if (probed.end.signal.aborted || !(await this.isRunning(probed)) || probed.mainPid !== mainPid) return;
    const before = probed.state;
    const ageSeconds = (this.ports.clock.monotonicMs() - probed.startMs) / 1000;
    probed.state = judgeProbe(before, outcome, probe.rules, ageSeconds);
    if (probed.state.state !== before.state) this.announce(probed);
  }

  private announce({ pod, app, state: { state, detail } }: ProbedApp): void {
    const fields = { WHERRY_POD: pod.name, WHERRY_APP: app };
    const subject = `app ${app} of pod ${pod.name}`;
    if (state === 'passing') this.ports.journal.log('info', `${subject} passes its probe: ${detail}`, fields);
    else
      this.ports.journal.log('warning', `${subject} does not pass its probe: ${detail}`, {
        ...fields,
        WHERRY_CODE: 'probe-failed',
      });
    this.onChange();
  }
}
