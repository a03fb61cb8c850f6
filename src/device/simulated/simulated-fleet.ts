import type { Clock } from '../../core/ports/index.ts';
import { MqttTransport, type BrokerAddress, type Transport } from '../../wire/mqtt/index.ts';
import type { DesiredState } from '../../wire/trust/index.ts';
import { examineMessage, type Examined, type ExamineContext } from '../../wire/trust/openpgp.ts';
import { SeveralBrokers } from '../session/index.ts';
import { faultsOf, type Faults } from './faults.ts';
import { SimulatedDevice } from './simulated-device.ts';
import { noTraffic, type Traffic } from './traffic.ts';

export interface SimulatedFleetOptions {
  readonly fleet: string;
  /** Each device starts with the next of them, and fails over to the others. */
  readonly brokers: readonly [BrokerAddress, ...BrokerAddress[]];
  /** Armored public deploy keys. */
  readonly keys: readonly string[];
  readonly clock: Clock;
  readonly count: number;
  /** Devices are called `<prefix>-0` and so on. */
  readonly prefix: string;
  /** The group of the devices; none by default. */
  readonly group?: string;
  readonly faults: Faults;
  readonly seed: string;
  /** Pods with an image of this name do not survive their probation. */
  readonly badImage?: string;
  readonly phaseMs: number;
  /** The reconnect window of a device without a desired state. */
  readonly reconnectWindowSeconds: number;
  /** How many devices are started in a second. */
  readonly startsPerSecond: number;
}

/** Many simulated devices in one process. */
export class SimulatedFleet {
  readonly traffic: Traffic = noTraffic();
  /** Messages whose signature was verified. */
  verified = 0;
  readonly #options: SimulatedFleetOptions;
  readonly #devices: SimulatedDevice[] = [];
  readonly #stopping = new AbortController();
  /** The end of the last examination: one at a time, so that thousands do not fill the memory. */
  #examined: Promise<unknown> = Promise.resolve();

  constructor(options: SimulatedFleetOptions) {
    this.#options = options;
  }

  /** Starts all devices, some at a time; resolves when the last one was started. */
  async start(): Promise<void> {
    const { count, prefix, group, fleet, clock, faults, seed, phaseMs, startsPerSecond } = this.#options;
    const { reconnectWindowSeconds } = this.#options;
    for (let index = 0; index < count && !this.#stopping.signal.aborted; index++) {
      const device = `${prefix}-${index}`;
      const own = faultsOf(faults, seed, device);
      if (!own.has('away')) {
        const made = new SimulatedDevice({
          fleet,
          device,
          ...(group === undefined ? {} : { group }),
          transport: this.#transportOf(index),
          traffic: this.traffic,
          clock,
          faults: own,
          examine: (message, context) => this.#examine(message, context),
          isBad: (desired) => this.#isBad(desired),
          phaseMs,
          reconnectWindowSeconds,
        });
        this.#devices.push(made);
        made.start();
      }
      if (index % 10 === 9) {
        await clock.sleep(10_000 / startsPerSecond, this.#stopping.signal).catch(() => undefined);
      }
    }
  }

  /** Ends every connection at the same time, for a thundering herd. */
  cutAll(): void {
    for (const device of this.#devices) device.cut();
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#devices.map((device) => device.close()));
  }

  #transportOf(index: number): Transport {
    const { brokers, clock } = this.#options;
    const turned = brokers.map((_, at) => brokers[(index + at) % brokers.length] ?? brokers[0]);
    const [first = brokers[0], ...others] = turned;
    const one = (broker: BrokerAddress) => ({ url: broker.url, transport: new MqttTransport(broker) });
    return new SeveralBrokers([one(first), ...others.map(one)], { clock, journal: { log: () => undefined } });
  }

  #examine(message: Uint8Array, context: Omit<ExamineContext, 'keys'>): Promise<Examined> {
    const next = this.#examined.then(async () => {
      const examined = await examineMessage(message, { ...context, keys: this.#options.keys });
      this.verified += 1;
      return examined;
    });
    this.#examined = next.catch(() => undefined);
    return next;
  }

  #isBad({ images }: DesiredState): boolean {
    return images.some(({ name }) => name === this.#options.badImage);
  }
}
