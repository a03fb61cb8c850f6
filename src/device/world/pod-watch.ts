import { askHttp, type AppSample, whyUnhealthy, readCgroup, type ReadCgroupFile } from '../health/index.ts';
import type { DeployedPod } from '../deploy/index.ts';
import type { HttpProbe } from '../pod/index.ts';
import type { AppReport, PodReport } from '../../wire/report/index.ts';
import type { Systemd, UnitStatus } from '../systemd/index.ts';

const probeTimeoutMs = 5000;

/** Addresses of a pod in its network; none while it is not attached. */
export type ReadPodAddresses = (network: string, uuid: string) => readonly string[];

/** One look at one app: what the report says of it and what a probation needs to know. */
export interface AppObservation {
  readonly report: AppReport;
  readonly sample: AppSample;
}

/**
 * Watches the units of pods. systemd forgets why the last run of a service ended as soon as it
 * starts again, and a control group forgets its OOM kills when it is re-created, so both are
 * remembered here while wherryd runs.
 */
export class PodWatch {
  private readonly systemd: Systemd;
  private readonly readFile: ReadCgroupFile;
  private readonly readAddresses: ReadPodAddresses;
  private readonly lastResults = new Map<string, string>();
  private watched: ReadonlySet<string> = new Set();

  constructor(systemd: Systemd, readFile: ReadCgroupFile, readAddresses: ReadPodAddresses) {
    this.systemd = systemd;
    this.readFile = readFile;
    this.readAddresses = readAddresses;
  }

  /** Calls `onChange` when a pod's unit changed; returns a function that ends it. */
  start(onChange: () => void): () => void {
    return this.systemd.watch((unit) => {
      if (!this.watched.has(unit)) return;
      void this.systemd
        .status(unit)
        .then((status) => this.remember(status))
        .catch(() => undefined) // a unit that is gone has nothing to remember
        .finally(onChange);
    });
  }

  /** Looks at every app of a pod. */
  async observe(pod: DeployedPod): Promise<readonly AppObservation[]> {
    const observations: AppObservation[] = [];
    for (const service of pod.services) {
      const status = await this.systemd.status(service.unit);
      this.remember(status);
      const probe = service.probeHttp;
      const asked = probe === undefined ? undefined : await this.ask(probe, pod);
      const readings = readCgroup(status.controlGroup ?? '', this.readFile);
      const { oomKills: oomKillsNow, ...numbers } = readings;
      const oomKills = pod.services.length === 1 ? await this.oomKillsOfPod(pod, oomKillsNow) : oomKillsNow;
      const lastResult =
        this.lastResults.get(service.unit) ?? (oomKills > 0 ? 'oom-kill' : (status.result ?? 'success'));
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
        },
        sample: {
          app: service.app,
          activeState: status.activeState,
          subState: status.subState,
          restarts,
          lastResult,
          ...(asked === undefined ? {} : { probe: asked }),
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
        : { network: { name: pod.network, addresses: this.readAddresses(pod.network, pod.uuid) } }),
    };
  }

  /** Watches the services of `pods` from now on, and forgets what happened to others. */
  follow(pods: readonly DeployedPod[]): void {
    this.watched = new Set(pods.flatMap((pod) => pod.services.map((service) => service.unit)));
    for (const unit of this.lastResults.keys()) if (!this.watched.has(unit)) this.lastResults.delete(unit);
  }

  private async ask(probe: HttpProbe, pod: DeployedPod): Promise<{ ok: boolean; detail: string }> {
    if (pod.network === undefined) return await askHttp(probe, '127.0.0.1', probeTimeoutMs);
    const [address] = this.readAddresses(pod.network, pod.uuid);
    if (address === undefined)
      return { ok: false, detail: `the pod has no address in the network ${pod.network}` };
    return await askHttp(probe, address, probeTimeoutMs);
  }

  /** The slice lives on while the service's own group is re-created at each restart. */
  private async oomKillsOfPod(pod: DeployedPod, ofService: number): Promise<number> {
    const slice = await this.systemd.status(pod.slice);
    return Math.max(ofService, readCgroup(slice.controlGroup ?? '', this.readFile).oomKills);
  }

  private remember(status: UnitStatus): void {
    if (status.result !== undefined && status.result !== 'success') {
      this.lastResults.set(status.name, status.result);
    }
  }
}
