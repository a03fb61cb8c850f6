import type { Clock } from '../../core/ports/index.ts';
import { isRefusal, type Refusal } from '../../core/refusal/index.ts';
import type { DeploymentReport, DeviceReport, PodReport } from '../../wire/report/index.ts';
import type { Transport } from '../../wire/mqtt/index.ts';
import { markOf, podUuid, type DesiredState, type TrustedVersion } from '../../wire/trust/index.ts';
import type { Examined, ExamineContext } from '../../wire/trust/openpgp.ts';
import { DeviceSession } from '../session/index.ts';
import { fractionOf, type FaultKind } from './faults.ts';
import { CountedTransport, type Traffic } from './traffic.ts';

export interface SimulatedDeviceOptions {
  readonly fleet: string;
  readonly device: string;
  readonly transport: Transport;
  readonly traffic: Traffic;
  readonly clock: Clock;
  readonly faults: ReadonlySet<FaultKind>;
  /** Examines a message as devices do; the devices of a process share the processor. */
  readonly examine: (message: Uint8Array, context: Omit<ExamineContext, 'keys'>) => Promise<Examined>;
  /** Whether pods of this desired state fail, whatever the device. */
  readonly isBad: (desired: DesiredState) => boolean;
  /** How long a phase of a deployment takes. */
  readonly phaseMs: number;
  /** Until a desired state says otherwise. */
  readonly reconnectWindowSeconds: number;
}

const phases = ['fetch', 'stage', 'activate', 'probation'] as const;

/**
 * A device whose session, signature checks, versions and reports are those of wherryd, and whose
 * pods are words in a report.
 */
export class SimulatedDevice {
  readonly #options: SimulatedDeviceOptions;
  readonly #stopping = new AbortController();
  readonly #transport: CountedTransport;
  #session: DeviceSession;
  #boots = 0;
  #seq = 0;
  #trusted: TrustedVersion = { version: 0, payloadSha256: '', issued: 0 };
  #current: { readonly version: number; readonly pods: readonly PodReport[] } = { version: 0, pods: [] };
  #deployment: DeploymentReport | undefined;
  #refused: DeviceReport['refused'];
  /** The desired state that is to be deployed; what lies on the disk of a real device. */
  #pending: DesiredState | undefined;
  #isDeploying = false;

  constructor(options: SimulatedDeviceOptions) {
    this.#options = options;
    this.#transport = new CountedTransport(options.transport, options.traffic);
    this.#session = this.#newSession();
  }

  start(): void {
    this.#report();
    this.#session.start();
    if (this.#options.faults.has('flapping')) void this.#flap();
  }

  /** Ends the connection as a network does; the device connects again by its policy. */
  cut(): void {
    this.#transport.cut();
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#session.close();
  }

  #newSession(): DeviceSession {
    const { fleet, device, clock, reconnectWindowSeconds } = this.#options;
    this.#boots += 1;
    const session = new DeviceSession({
      fleet,
      device,
      bootId: `boot-${this.#boots}`,
      transport: this.#transport,
      clock,
      journal: { log: () => undefined },
      policy: { bootSpreadMs: 0, windowMs: reconnectWindowSeconds * 1000 },
    });
    session.onDesired((message) => void this.#judge(message));
    return session;
  }

  async #judge(message: Uint8Array): Promise<void> {
    const { fleet, device, examine, faults, clock } = this.#options;
    const isIn1970 = faults.has('clock');
    const nowSeconds = isIn1970 ? this.#trusted.issued : Math.floor(clock.nowMs() / 1000);
    const time = { nowSeconds, clockTrusted: !isIn1970 };
    try {
      const { outcome, desired, payloadSha256 } = await examine(message, {
        trusted: this.#trusted,
        fleet,
        device,
        time,
      });
      // Two messages may have been examined at the same time.
      if (outcome === 'same') this.#session.repeatReport();
      if (outcome === 'same' || desired.version <= this.#trusted.version) return;
      this.#trusted = markOf(desired, payloadSha256, this.#trusted);
      this.#session.setReconnectWindow(desired.policy.reconnectWindowSeconds);
      this.#refused = undefined;
      this.#pending = desired;
      if (!this.#isDeploying) await this.#deployPending();
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#refuse(error);
    }
  }

  #refuse({ code, message }: Refusal): void {
    this.#refused = { code, message, at: this.#now() };
    this.#report();
    this.#session.publishEvent({ ...this.#event(0), outcome: 'refused', code, message });
  }

  /** One deployment after the other; a newer one takes the place of the one under way. */
  async #deployPending(): Promise<void> {
    this.#isDeploying = true;
    try {
      for (let next = this.#pending; next !== undefined; next = this.#pending) {
        if (!(await this.#deploy(next))) return;
        if (this.#pending === next) this.#pending = undefined;
      }
    } finally {
      this.#isDeploying = false;
    }
  }

  /** @returns false when the device was closed meanwhile */
  async #deploy(desired: DesiredState): Promise<boolean> {
    const { faults, clock, phaseMs, device, isBad } = this.#options;
    const { version } = desired;
    const factor = faults.has('slow') ? 20 : 0.5 + fractionOf(device, String(version));
    for (const phase of phases) {
      this.#deployment = { version, phase };
      this.#report();
      try {
        await clock.sleep(phaseMs * factor, this.#stopping.signal);
      } catch {
        return false;
      }
      if (phase === 'stage' && faults.has('power')) this.#loseAndRegainPower();
      if (this.#pending !== desired) {
        const message = `version ${this.#pending?.version ?? 0} took its place`;
        this.#end(version, { phase: 'superseded', code: 'superseded', message });
        return true;
      }
    }
    if (faults.has('failing') || isBad(desired)) {
      this.#end(version, {
        phase: 'rolled-back',
        code: 'probation-failed',
        message: 'the simulated pod ended',
      });
      return true;
    }
    this.#current = { version, pods: podsOf(desired) };
    this.#end(version, { phase: 'committed' });
    return true;
  }

  #end(
    version: number,
    end: { phase: 'committed' } | { phase: 'rolled-back' | 'superseded'; code: string; message: string },
  ): void {
    this.#deployment = { version, ...end };
    this.#report();
    const { phase, ...why } = end;
    if (phase === 'committed') this.#session.publishEvent({ ...this.#event(version), outcome: phase });
    else if ('code' in why) this.#session.publishEvent({ ...this.#event(version), outcome: phase, ...why });
  }

  /** The connection ends without a goodbye, and a new boot connects. The pending state is kept. */
  #loseAndRegainPower(): void {
    const old = this.#session;
    this.#transport.cut();
    void old.close();
    this.#session = this.#newSession();
    this.#report();
    this.#session.start();
  }

  async #flap(): Promise<void> {
    const { clock, device, phaseMs } = this.#options;
    for (let round = 0; !this.#stopping.signal.aborted; round++) {
      const waitMs = 20 * phaseMs * (0.5 + fractionOf(device, 'flap', String(round)));
      await clock.sleep(waitMs, this.#stopping.signal).catch(() => undefined);
      this.#transport.cut();
    }
  }

  #report(): void {
    const { fleet, device } = this.#options;
    this.#seq += 1;
    this.#session.publishReport({
      format: 1,
      fleet,
      device,
      bootId: `boot-${this.#boots}`,
      seq: this.#seq,
      at: this.#now(),
      wherry: 'simulated',
      trustedVersion: this.#trusted.version,
      currentVersion: this.#current.version,
      ...(this.#deployment === undefined ? {} : { deployment: this.#deployment }),
      ...(this.#refused === undefined ? {} : { refused: this.#refused }),
      pods: this.#current.pods,
      capabilities: [],
    });
  }

  #event(version: number) {
    return { format: 1, bootId: `boot-${this.#boots}`, at: this.#now(), version } as const;
  }

  #now(): number {
    return this.#options.faults.has('clock') ? 0 : Math.floor(this.#options.clock.nowMs() / 1000);
  }
}

function podsOf({ pods, images }: DesiredState): readonly PodReport[] {
  return pods.map(({ name, manifest }) => ({
    name,
    uuid: podUuid(name, manifest),
    healthy: true,
    apps: [
      {
        name,
        imageId: images[0]?.id ?? '',
        state: 'active/running',
        restarts: 0,
        lastResult: 'success',
        oomKills: 0,
        memoryBytes: 12 * 2 ** 20,
      },
    ],
    isolators: [],
  }));
}
