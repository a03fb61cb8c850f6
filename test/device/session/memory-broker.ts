import type { Refusal } from '../../../src/core/refusal/index.ts';
import {
  ConnectionLost,
  type Connection,
  type ConnectOptions,
  type Message,
  type Transport,
} from '../../../src/wire/mqtt/transport.ts';

export interface Published extends Message {
  readonly retain: boolean;
}

/**
 * A broker in memory: retained messages, wills, exact topics and `+`. It acknowledges every message
 * at once.
 */
export class MemoryBroker {
  readonly retained = new Map<string, Uint8Array>();
  /** Everything that clients published, in order, as `topic` or `topic (retained)`. */
  readonly log: string[] = [];
  readonly published: Published[] = [];
  /** Set to refuse connections. */
  refuses: ConnectionLost | undefined;
  /** The longest payload that it announces to accept. */
  takesBytes = Infinity;
  acknowledges = true;
  acknowledgesSubscriptions = true;
  /**
   * If true, subscriptions are granted without retained messages, as by NATS 2.15 in its first
   * moments.
   */
  hasJustStarted = false;
  /** RabbitMQ gives no retained messages for filters with wildcards. */
  retainsForWildcards = true;
  /**
   * Messages that are acknowledged and discarded, as for an account that may not write (MQTT 3.1.1
   * §3.3.5).
   */
  denies: (topic: string) => boolean = () => false;
  /** A topic whose messages fail, for example with the answer "not authorized" of MQTT 5. */
  refusal: { readonly topic: string; readonly loss: ConnectionLost } | undefined;
  connections = 0;
  readonly clientIds: string[] = [];
  readonly subscriptions: string[] = [];
  readonly #clients = new Set<MemoryConnection>();

  transport(): Transport {
    return {
      connect: (options) => {
        if (this.refuses !== undefined) return Promise.reject(this.refuses);
        // As NATS server 2.15 does.
        if (/[.*> ]/.test(options.clientId))
          return Promise.reject(new ConnectionLost('credentials', 'Identifier rejected'));
        const client = new MemoryConnection(this, options);
        this.connections += 1;
        this.clientIds.push(options.clientId);
        this.#clients.add(client);
        return Promise.resolve(client);
      },
    };
  }

  publish({ topic, payload, retain }: Published): void {
    this.log.push(retain ? `${topic} (retained)` : topic);
    this.published.push({ topic, payload, retain });
    if (this.denies(topic)) return;
    if (retain) this.retained.set(topic, payload);
    for (const client of this.#clients) client.deliver({ topic, payload });
  }

  /** As a transport does with a message that is too large to read. */
  drop(topic: string, refusal: Refusal): void {
    for (const client of this.#clients) client.drop(topic, refusal);
  }

  /** Ends every connection as a dying broker does; wills are published first when `wills`. */
  dropAll(reason: ConstructorParameters<typeof ConnectionLost>[0] = 'closed', wills = true): void {
    for (const client of [...this.#clients]) {
      this.#clients.delete(client);
      if (wills) client.publishWill();
      client.lose(new ConnectionLost(reason, `dropped: ${reason}`));
    }
  }

  remove(client: MemoryConnection): void {
    this.#clients.delete(client);
  }
}

class MemoryConnection implements Connection {
  readonly ended: Promise<ConnectionLost>;
  lose: (loss: ConnectionLost) => void = () => undefined;
  readonly #broker: MemoryBroker;
  readonly #options: ConnectOptions;
  readonly #filters: RegExp[] = [];

  constructor(broker: MemoryBroker, options: ConnectOptions) {
    this.#broker = broker;
    this.#options = options;
    this.ended = new Promise((resolve) => (this.lose = resolve));
  }

  mostPayloadBytes(): number {
    return this.#broker.takesBytes;
  }

  async publish(message: Message, { retain }: { retain: boolean }): Promise<void> {
    const { refusal } = this.#broker;
    if (message.topic === refusal?.topic) throw refusal.loss;
    this.#broker.publish({ ...message, retain });
    if (!this.#broker.acknowledges) throw await this.ended;
  }

  async subscribe(topics: readonly string[]): Promise<void> {
    if (!this.#broker.acknowledgesSubscriptions) throw await this.ended;
    this.#broker.subscriptions.push(...topics);
    for (const topic of topics) {
      const filter = new RegExp(`^${topic.replaceAll('+', '[^/]+')}$`);
      this.#filters.push(filter);
      if (this.#broker.hasJustStarted) continue;
      if (topic.includes('+') && !this.#broker.retainsForWildcards) continue;
      for (const [name, payload] of this.#broker.retained) {
        if (filter.test(name)) this.#options.onMessage({ topic: name, payload });
      }
    }
  }

  deliver(message: Message): void {
    if (this.#filters.some((filter) => filter.test(message.topic))) this.#options.onMessage(message);
  }

  drop(topic: string, refusal: Refusal): void {
    this.#options.onDropped?.(topic, refusal);
  }

  publishWill(): void {
    if (this.#options.will !== undefined) this.#broker.publish({ ...this.#options.will, retain: true });
  }

  close(): Promise<void> {
    this.#broker.remove(this);
    this.lose(new ConnectionLost('closed', 'closed by this side'));
    return Promise.resolve();
  }

  abort(loss: ConnectionLost): void {
    this.#broker.remove(this);
    this.publishWill();
    this.lose(loss);
  }
}
