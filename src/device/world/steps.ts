import type { DeployedPod, LoadedUnit, Step } from '../deploy/index.ts';
import type { Clock, Journal } from '../../core/ports/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { JobResult, Systemd } from '../systemd/index.ts';
import { attachmentFailure } from '../network/index.ts';
import type { Disk } from '../store/index.ts';
import type { LastOutput } from './last-output.ts';
import type { PodWatch } from './pod-watch.ts';
import type { StoredObjects } from './stored-objects.ts';

export interface StepPorts {
  readonly systemd: Systemd;
  readonly clock: Clock;
  readonly journal: Journal;
  readonly watch: PodWatch;
  readonly objects: StoredObjects;
  readonly disk: Disk;
  readonly directories: { readonly run: string };
  /** Absent: no output is quoted. */
  readonly lastOutput?: LastOutput;
}

const maxFailureBytes = 4096;
const maxStops = 3;

/** Carries out the steps of an activation with systemd, and keeps the pods that were adopted. */
export class StepRunner {
  private readonly ports: StepPorts;
  private running: readonly DeployedPod[] = [];

  constructor(ports: StepPorts) {
    this.ports = ports;
  }

  /** The pods that were adopted last, which reports describe. */
  get pods(): readonly DeployedPod[] {
    return this.running;
  }

  async loaded(): Promise<readonly LoadedUnit[]> {
    return await this.ports.systemd.list([
      'wherry-pod-*.service',
      'wherry-network-*.service',
      'wherry-metadata-*.socket',
      'wherry-socket-*.socket',
      'wherry-secrets-*.service',
      'wherry-pod-*.slice',
      'wherry-timer-*.timer',
      'wherry-run-*.target',
    ]);
  }

  /**
   * @throws Refusal `activation-failed` when an app does not start, or the failure of its pod's
   *   network
   */
  async perform(step: Step, signal?: AbortSignal): Promise<void> {
    switch (step.do) {
      case 'stop':
        await this.stop(step);
        break;
      case 'adopt':
        this.adopt(step.pods);
        break;
      case 'unmount':
        await this.unmount(step);
        break;
      case 'deliver':
        await this.simply(
          step.unit,
          `the secrets of app ${step.app} of pod ${step.pod} were not delivered`,
          signal,
        );
        break;
      case 'start':
        await this.start(step, signal);
        break;
      case 'schedule':
        await this.simply(step.unit, `the timer of pod ${step.pod} did not start`, signal);
        break;
    }
  }

  /** Watches and reports these pods from now on. */
  adopt(pods: readonly DeployedPod[]): void {
    this.ports.watch.follow(pods);
    this.running = pods;
  }

  private async stop({ units, why }: Extract<Step, { do: 'stop' }>): Promise<void> {
    const { systemd, journal } = this.ports;
    if (why === 'image replaced') {
      journal.log('notice', `stopping ${units.join(', ')}: started again from an image that was replaced`);
    }
    const services = units.filter((unit) => unit.endsWith('.service'));
    if (why === 'not in the set' && services.length > 0) {
      // A disk that is mounted later would start apps of the old set beside the new one.
      await systemd.disable(services).catch((error: unknown) => {
        journal.log('warning', `a disk may still start ${services.join(', ')}: ${String(error)}`);
      });
    }
    // A start that another actor requests meanwhile cancels the stop.
    const stopped = async (unit: string): Promise<void> => {
      for (let tries = 0; tries < maxStops; tries++) if ((await systemd.stop(unit)) !== 'canceled') return;
    };
    await Promise.all(units.map(stopped));
  }

  private async unmount({ id, mount }: Extract<Step, { do: 'unmount' }>): Promise<void> {
    const { systemd, objects } = this.ports;
    await systemd.stop(mount).catch(() => undefined); // it was never loaded
    await systemd.resetFailed(mount);
    objects.unmounted(id);
  }

  private async start(
    { pod, app, unit }: Extract<Step, { do: 'start' }>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { systemd } = this.ports;
    const owner = this.running.find(({ services }) => services.some((one) => one.unit === unit));
    // A requested start must not count against systemd's start limit. Units that the app needs are
    // reset, too: its namespaces, its images.
    await Promise.all([unit, ...(owner?.mounts ?? [])].map((needed) => systemd.resetFailed(needed)));
    const result = await this.startInTime(unit, signal);
    if (result === 'done') return;
    await this.refuseFailedNetwork(pod);
    const reason = await this.whyNotStarted(unit, result);
    const output = owner === undefined ? '' : await this.ports.lastOutput?.(owner, app);
    throw new Refusal(
      'activation-failed',
      `app ${app} of pod ${pod} did not start (${reason}); see journalctl -u ${unit}${output ?? ''}`,
    );
  }

  private async whyNotStarted(unit: string, result: JobResult): Promise<string> {
    const { systemd } = this.ports;
    if (result === 'canceled') return 'canceled: another actor stopped it';
    if (result === 'dependency') {
      const unmet = await systemd.unmet(unit);
      return unmet.length === 0 ? result : `${result}: ${unmet.join(', ')} did not start`;
    }
    // A service that did not run has the result of its last run.
    const { result: last = 'success' } = await systemd.status(unit);
    return last === 'success' ? result : last;
  }

  /** Starts a unit that is not an app. @param failure what it means if that fails */
  private async simply(unit: string, failure: string, signal: AbortSignal | undefined): Promise<void> {
    const { systemd } = this.ports;
    await systemd.resetFailed(unit);
    const result = await systemd.start(unit, signal);
    if (result === 'done') return;
    throw new Refusal('activation-failed', `${failure} (${result}); see journalctl -u ${unit}`);
  }

  /**
   * An app that runs once is retried until it succeeds, also at boot; a deployment waits for it for
   * a limited time.
   */
  private async startInTime(unit: string, signal: AbortSignal | undefined): Promise<JobResult> {
    const service = this.running.flatMap(({ services }) => services).find((one) => one.unit === unit);
    if (service?.onceSeconds === undefined) return await this.ports.systemd.start(unit, signal);
    const [late, over] = [new AbortController(), new AbortController()];
    void this.ports.clock.sleep(service.onceSeconds * 1000, over.signal).then(
      () => late.abort(),
      () => undefined, // the app was not late
    );
    const signals = [late.signal, ...(signal === undefined ? [] : [signal])];
    try {
      return await this.ports.systemd.start(unit, AbortSignal.any(signals));
    } catch (error) {
      if (!late.signal.aborted || signal?.aborted === true) throw error;
      return 'timeout';
    } finally {
      over.abort();
    }
  }

  /**
   * Refuses with the failure of the pod's network, if there is one: the app's own error would not
   * explain it.
   */
  private async refuseFailedNetwork(pod: string): Promise<void> {
    const { disk, directories } = this.ports;
    const uuid = this.running.find(({ name }) => name === pod)?.uuid;
    const place = `${directories.run}/attachments/${uuid}.failure`;
    const text = await disk.read(place, maxFailureBytes);
    const failure = text === undefined ? undefined : attachmentFailure(Buffer.from(text).toString('utf8'));
    if (failure === undefined) return;
    await disk.remove(place);
    throw new Refusal(failure.code, failure.message);
  }
}
