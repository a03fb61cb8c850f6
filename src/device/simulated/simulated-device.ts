import type { Clock } from '../../core/ports/index.ts';
import { isRefusal, type Refusal } from '../../core/refusal/index.ts';
import type { DeploymentReport, DeviceReport, PodReport } from '../../wire/report/index.ts';
import type { Transport } from '../../wire/mqtt/index.ts';
import { groupOf, podUuid, type DesiredState } from '../../wire/trust/index.ts';
import type { Examined, ExamineContext } from '../../wire/trust/openpgp.ts';
import {
  acceptDesired,
  type DeviceState,
  emptyState,
  isUntried,
  markOfTarget,
  newestIssued,
  standAside,
  targetBefore,
  type TargetGroup,
  targetInWords,
  trustDesired,
} from '../deploy/index.ts';
import { DeviceSession } from '../session/index.ts';
import { fractionOf, type FaultKind } from './faults.ts';
import { CountedTransport, type Traffic } from './traffic.ts';

export interface SimulatedDeviceOptions {
  readonly fleet: string;
  readonly device: string;
  /** The group of the device. */
  readonly group?: string;
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
  /** Used until a desired state specifies another. */
  readonly reconnectWindowSeconds: number;
}

const phases = ['fetch', 'stage', 'activate', 'probation'] as const;

/**
 * A device whose session, signature checks, versions and reports are those of wherryd, and whose
 * pods exist only in reports.
 */
export class SimulatedDevice {
  readonly #options: SimulatedDeviceOptions;
  readonly #stopping = new AbortController();
  readonly #transport: CountedTransport;
  #session: DeviceSession;
  #boots = 0;
  #seq = 0;
  /** The trusted versions, and the target that it follows. */
  #state: DeviceState = emptyState;
  #current: Pick<DeviceReport, 'group' | 'pods'> & { readonly version: number } = { version: 0, pods: [] };
  #deployment: DeploymentReport | undefined;
  #refused: DeviceReport['refused'];
  /** The desired state to deploy, which a real device has on its disk. */
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

  /** Ends the connection as a network does; the device reconnects by its policy. */
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
      groups: this.#groups,
      bootId: `boot-${this.#boots}`,
      transport: this.#transport,
      clock,
      journal: { log: () => undefined },
      policy: { bootSpreadMs: 0, windowMs: reconnectWindowSeconds * 1000 },
    });
    session.onDesired((message, group) => void this.#judge(message, group));
    return session;
  }

  get #groups(): readonly string[] {
    const { group } = this.#options;
    return group === undefined ? [] : [group];
  }

  async #judge(message: Uint8Array, group: TargetGroup): Promise<void> {
    const { fleet, device, examine, faults, clock } = this.#options;
    const isIn1970 = faults.has('clock');
    const nowSeconds = isIn1970 ? newestIssued(this.#state) : Math.floor(clock.nowMs() / 1000);
    const time = { nowSeconds, clockTrusted: !isIn1970 };
    try {
      const examined = await examine(message, {
        trusted: markOfTarget(this.#state, group),
        fleet,
        device,
        ...(group === undefined ? {} : { group }),
        ...(isUntried(this.#state, this.#groups, group) ? { untried: true as const } : {}),
        time,
      });
      if (examined.outcome !== 'same') await this.#take(examined);
      else if (group === undefined) this.#session.repeatReport();
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#refuse(error, group);
    }
  }

  /** Handles a command as the supervisor of wherryd does. */
  async #take({ outcome, desired, payloadSha256 }: Examined): Promise<void> {
    const group = groupOf(desired.target);
    const acceptance = { groups: this.#groups };
    // Two messages may have been examined at the same time.
    const known = markOfTarget(this.#state, group).version;
    const isUntriedYet = isUntried(this.#state, this.#groups, group);
    if (desired.version < known || (desired.version === known && outcome === 'new' && !isUntriedYet)) return;
    if (outcome === 'outside') {
      this.#state = standAside(this.#state, desired, payloadSha256, acceptance);
      this.#report();
      return;
    }
    const before = targetBefore(this.#state, this.#groups, group);
    if (desired.withdrawn === true || before !== undefined) {
      this.#state = trustDesired(this.#state, desired, payloadSha256, acceptance);
      this.#report();
      const event = this.#event(desired);
      if (desired.withdrawn === true) {
        this.#session.publishEvent({ ...event, outcome: 'committed' });
        this.#session.askForCommands();
      } else {
        const message = `a command for ${targetInWords(before?.group)} has precedence`;
        this.#session.publishEvent({ ...event, outcome: 'superseded', code: 'passed-over', message });
      }
      return;
    }
    const { pending: _kept, ...state } = acceptDesired(this.#state, desired, payloadSha256, acceptance);
    this.#state = state;
    this.#session.setReconnectWindow(desired.policy.reconnectWindowSeconds);
    this.#refused = undefined;
    this.#pending = desired;
    if (!this.#isDeploying) await this.#deployPending();
  }

  #refuse({ code, message }: Refusal, group: TargetGroup): void {
    const of = group === undefined ? {} : { group };
    this.#refused = { code, message, at: this.#now(), ...of };
    this.#report();
    this.#session.publishEvent({ ...this.#eventOf(0, group), outcome: 'refused', code, message });
  }

  /** Runs one deployment after the other; a newer one supersedes the one under way. */
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
      this.#deployment = { ...named(desired), phase };
      this.#report();
      try {
        await clock.sleep(phaseMs * factor, this.#stopping.signal);
      } catch {
        return false;
      }
      if (phase === 'stage' && faults.has('power')) this.#loseAndRegainPower();
      if (this.#pending !== desired) {
        const message = `version ${this.#pending?.version ?? 0} replaced it`;
        this.#end(desired, { phase: 'superseded', code: 'superseded', message });
        return true;
      }
    }
    if (faults.has('failing') || isBad(desired)) {
      this.#end(desired, {
        phase: 'rolled-back',
        code: 'probation-failed',
        message: 'the simulated pod ended',
      });
      return true;
    }
    this.#current = { ...named(desired), pods: podsOf(desired) };
    this.#end(desired, { phase: 'committed' });
    return true;
  }

  #end(
    desired: DesiredState,
    end: { phase: 'committed' } | { phase: 'rolled-back' | 'superseded'; code: string; message: string },
  ): void {
    this.#deployment = { ...named(desired), ...end };
    this.#report();
    const { phase, ...why } = end;
    const event = this.#event(desired);
    if (phase === 'committed') this.#session.publishEvent({ ...event, outcome: phase });
    else if ('code' in why) this.#session.publishEvent({ ...event, outcome: phase, ...why });
  }

  /**
   * Ends the connection without DISCONNECT and connects as a new boot. The pending state is kept.
   */
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
      trustedVersion: this.#state.trusted.version,
      ...(this.#state.trusted.withdrawn === true ? { withdrawn: true as const } : {}),
      currentVersion: this.#current.version,
      ...(this.#current.group === undefined ? {} : { group: this.#current.group }),
      ...(this.#groups.length === 0 ? {} : { groups: this.#groups.map((name) => this.#membership(name)) }),
      ...(this.#deployment === undefined ? {} : { deployment: this.#deployment }),
      ...(this.#refused === undefined ? {} : { refused: this.#refused }),
      pods: this.#current.pods,
      capabilities: [],
    });
  }

  #membership(name: string) {
    const { version, withdrawn } = markOfTarget(this.#state, name);
    return { name, trustedVersion: version, ...(withdrawn === true ? { withdrawn } : {}) };
  }

  #event({ version, target }: DesiredState) {
    return this.#eventOf(version, groupOf(target));
  }

  #eventOf(version: number, group: TargetGroup) {
    const of = group === undefined ? {} : { group };
    return { format: 1, bootId: `boot-${this.#boots}`, at: this.#now(), version, ...of } as const;
  }

  #now(): number {
    return this.#options.faults.has('clock') ? 0 : Math.floor(this.#options.clock.nowMs() / 1000);
  }
}

/** A version and its group. */
function named({ version, target }: DesiredState): { readonly version: number; readonly group?: string } {
  const group = groupOf(target);
  return { version, ...(group === undefined ? {} : { group }) };
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
