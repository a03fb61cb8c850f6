import type { Clock, Journal } from '../../core/ports/index.ts';
import type { Connection, ConnectOptions, Transport } from '../../wire/mqtt/index.ts';
import type { BrokerUse } from '../../wire/report/index.ts';
import { type BrokerPlan, firstBroker, nextBroker } from './broker-plan.ts';
import { defaultReconnectPolicy } from './reconnect-policy.ts';

export interface Broker {
  readonly url: string;
  readonly transport: Transport;
}

/**
 * Several broker addresses as one transport: each attempt uses the address of the plan. There is
 * only one session at a time, because the session reconnects only after the end of a connection.
 */
export class SeveralBrokers implements Transport {
  readonly #brokers: readonly [Broker, ...Broker[]];
  readonly #clock: Clock;
  readonly #journal: Journal;
  readonly #stableMs: number;
  #plan: BrokerPlan = firstBroker;

  constructor(
    brokers: readonly [Broker, ...Broker[]],
    ports: { readonly clock: Clock; readonly journal: Journal },
    stableMs = defaultReconnectPolicy.stableMs,
  ) {
    this.#brokers = brokers;
    this.#clock = ports.clock;
    this.#journal = ports.journal;
    this.#stableMs = stableMs;
  }

  /** The address of the session, or of the next attempt; undefined where there is only one. */
  get use(): BrokerUse | undefined {
    if (this.#brokers.length === 1) return undefined;
    return { url: this.#broker.url, at: this.#plan.at + 1, of: this.#brokers.length };
  }

  async connect(options: ConnectOptions): Promise<Connection> {
    const { transport, url } = this.#broker;
    let connection: Connection;
    try {
      connection = await transport.connect(options);
    } catch (error) {
      this.#tried(false);
      throw error;
    }
    if (this.#brokers.length > 1) this.#journal.log('info', `the broker in use is ${url}`);
    const establishedAtMs = this.#clock.monotonicMs();
    void connection.ended.then(({ isUnanswered }) => {
      // The wait for a broker that hangs is as long as a session that counts.
      this.#tried(!isUnanswered && this.#clock.monotonicMs() - establishedAtMs >= this.#stableMs);
    });
    return connection;
  }

  get #broker(): Broker {
    return this.#brokers[this.#plan.at] ?? this.#brokers[0];
  }

  #tried(wasStable: boolean): void {
    const { url } = this.#broker;
    const { at } = this.#plan;
    this.#plan = nextBroker(this.#plan, this.#brokers.length, wasStable);
    if (this.#plan.at !== at) {
      this.#journal.log('notice', `${url} failed too often: the next attempt is to ${this.#broker.url}`);
    }
  }
}
