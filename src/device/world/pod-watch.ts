import { type AppSample, whyUnhealthy, readCgroup, type ReadCgroupFile } from '../health/index.ts';
import type { DeployedPod } from '../deploy/index.ts';
import type { AppReport, PodReport } from '../../wire/report/index.ts';
import type { Systemd, UnitStatus } from '../systemd/index.ts';
import type { ReadPodAddresses } from './ask-probe.ts';
import type { ProbeWatch } from './probe-watch.ts';

export interface PodWatchPorts {
  readonly systemd: Systemd;
  readonly readCgroupFile: ReadCgroupFile;
  readonly readAddresses: ReadPodAddresses;
  readonly probes: ProbeWatch;
}

/** One observation of one app: its part of the report, and the sample for a probation. */
export interface AppObservation {
  readonly report: AppReport;
  readonly sample: AppSample;
}

/** An app with its pod, in words. */
export function appOfPod(app: string, { name }: Pick<DeployedPod, 'name'>): string {
  return `${app} of pod ${name}`;
}

/**
 * Watches the units of pods. systemd forgets the result of the last run of a service when it starts
 * again, so results are remembered here while wherryd runs. The OOM kills of a pod with one app are
 * also read from its slice, because the control group of a service loses its count when it is
 * re-created.
 */
export class PodWatch {
  private readonly ports: PodWatchPorts;
  private readonly lastResults = new Map<string, string>();
  private watched: ReadonlySet<string> = new Set();
  /** The units of scheduled pods among them. */
  private scheduled: ReadonlySet<string> = new Set();

  constructor(ports: PodWatchPorts) {
    this.ports = ports;
  }

  /**
   * Calls `onChange` when a pod's unit or the state of a probe has changed; the returned function
   * ends that.
   */
  start(onChange: () => void): () => void {
    const { systemd, probes } = this.ports;
    const endProbes = probes.start(onChange);
    const unwatch = systemd.watch((unit, result) => {
      if (!this.watched.has(unit)) return;
      if (!this.scheduled.has(unit)) {
        // No request for its status: systemd has enough to do while it starts the app.
        if (result !== undefined && result !== 'success') this.lastResults.set(unit, result);
        onChange();
        return;
      }
      void systemd
        .status(unit)
        .then((status) => this.remember(status))
        .catch(() => undefined) // a unit that is gone has nothing to remember
        .finally(onChange);
    });
    return () => {
      unwatch();
      endProbes();
    };
  }

  /** Observes every app of a pod. */
  async observe(pod: DeployedPod): Promise<readonly AppObservation[]> {
    const observations: AppObservation[] = [];
    const timer = pod.timer && (await this.ports.systemd.status(pod.timer)).activeState;
    for (const service of pod.services) {
      const status = await this.ports.systemd.status(service.unit);
      this.remember(status);
      const probe = this.ports.probes.stateOf(service.unit, status.mainPid);
      const readings = readCgroup(status.controlGroup ?? '', this.ports.readCgroupFile);
      const { oomKills: oomKillsNow, ...numbers } = readings;
      const oomKills = pod.services.length === 1 ? await this.oomKillsOfPod(pod, oomKillsNow) : oomKillsNow;
      const lastResult =
        this.lastResults.get(service.unit) ??
        (oomKills > 0 && timer === undefined ? 'oom-kill' : (status.result ?? 'success'));
      const restarts = status.restarts ?? 0;
      observations.push({
        report: {
          name: service.app,
          imageId: service.imageId,
          state: `${status.activeState}/${status.subState}`,
          ...(status.mainPid === undefined || status.mainPid === 0 ? {} : { pid: status.mainPid }),
          restarts,
          lastResult,
          oomKills,
          ...numbers,
          ...(probe === undefined ? {} : { probe: { state: probe.state, detail: probe.detail } }),
        },
        sample: {
          app: appOfPod(service.app, pod),
          // A restart that has to kill the app passes through `failed`.
          activeState:
            status.activeState === 'failed' && status.isToStart === true ? 'activating' : status.activeState,
          subState: status.subState,
          restarts,
          lastResult,
          ...(timer === undefined ? {} : { timer }),
          ...(probe === undefined ? {} : { probe }),
          hasStartPeriod: service.probe?.rules.startPeriodSeconds !== undefined,
        },
      });
    }
    return observations;
  }

  async report(pod: DeployedPod): Promise<PodReport> {
    const observations = await this.observe(pod);
    return {
      name: pod.name,
      uuid: pod.uuid,
      healthy: observations.every(({ sample }) => whyUnhealthy(sample) === undefined),
      apps: observations.map(({ report }) => report),
      isolators: pod.isolators,
      ...(pod.network === undefined
        ? {}
        : { network: { name: pod.network, addresses: this.ports.readAddresses(pod.network, pod.uuid) } }),
    };
  }

  /** Watches the services of `pods` from now on, and forgets the results of others. */
  follow(pods: readonly DeployedPod[]): void {
    const unitsOf = (some: readonly DeployedPod[]) =>
      new Set(some.flatMap((pod) => pod.services.map((service) => service.unit)));
    this.watched = unitsOf(pods);
    this.scheduled = unitsOf(pods.filter(({ timer }) => timer !== undefined));
    for (const unit of this.lastResults.keys()) if (!this.watched.has(unit)) this.lastResults.delete(unit);
    this.ports.probes.follow(pods);
  }

  /** The slice keeps its count, while the service's own group is re-created at each restart. */
  private async oomKillsOfPod(pod: DeployedPod, ofService: number): Promise<number> {
    const slice = await this.ports.systemd.status(pod.slice);
    return Math.max(ofService, readCgroup(slice.controlGroup ?? '', this.ports.readCgroupFile).oomKills);
  }

  private remember(status: UnitStatus): void {
    if (status.result !== undefined && status.result !== 'success') {
      this.lastResults.set(status.name, status.result);
    } else if (this.scheduled.has(status.name) && status.activeState === 'inactive') {
      // The last run has succeeded.
      this.lastResults.delete(status.name);
    }
  }
}
