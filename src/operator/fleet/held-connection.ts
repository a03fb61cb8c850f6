import { randomBytes } from 'node:crypto';
import type { Clock } from '../../core/ports/index.ts';
import {
  acknowledged,
  ConnectionLost,
  type Connection,
  type Message,
  type Qos,
  type Transport,
} from '../../wire/mqtt/index.ts';
import { clientIdentifier } from '../../wire/report/index.ts';
import { orRefusal, refusalOf } from './broker-refusal.ts';
import { mayComeBack } from './broker-words.ts';

/** AWS IoT Core accepts at most eight topics in one SUBSCRIBE packet. */
const topicsAtOnce = 8;

/** SUBSCRIBE packets that wait for their answer: a cluster of NATS agrees on each topic. */
const packetsAtOnce = 4;

/** How long the broker may take to acknowledge what a person waits for. */
const answerWithinMs = 30_000;

/** The first pause before the broker is tried again, and the longest. */
const retryMs = { first: 500, longest: 15_000 };

export interface HeldConnectionOptions {
  readonly fleet: string;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly onMessage: (message: Message) => void;
  /** Called after a reconnect, when the subscriptions have been made again. */
  readonly onBack: () => void;
}

/** The operator's connection to the broker, which reconnects while `keep` runs. */
export class HeldConnection {
  readonly #options: HeldConnectionOptions;
  readonly #closing = new AbortController();
  #current: Promise<Connection>;
  /** The next connection, while it is being made. Everybody who waits shares it. */
  #redialled: Promise<void> | undefined;
  readonly #topics = new Map<string, Qos>();

  /** Begins to connect; `opened` reports the result. */
  constructor(options: HeldConnectionOptions) {
    this.#options = options;
    this.#current = this.#dial();
  }

  /**
   * Resolves while there is a connection. Otherwise the failure of an ended connection would be
   * blamed on the next message.
   * @throws Refusal `broker-unreachable`, `broker-refused`
   */
  async opened(): Promise<void> {
    const { ended } = await orRefusal(this.#current, 'opening');
    const loss = await Promise.race([ended, Promise.resolve(undefined)]);
    if (loss !== undefined) throw refusalOf(loss);
  }

  /** Subscribes on this connection and on all that follow. @throws Refusal as `opened` */
  async add(topics: readonly string[], qos: Qos = 1): Promise<void> {
    await orRefusal(this.subscribe(topics, qos));
    for (const topic of topics) this.#topics.set(topic, qos);
  }

  /** Subscribes on this connection alone. @throws ConnectionLost */
  async subscribe(topics: readonly string[], qos: Qos = 1): Promise<void> {
    await this.#subscribe(await this.#current, topics, qos);
  }

  /**
   * Publishes, and waits until the broker acknowledges it.
   * @param what names the message in the error
   * @throws ConnectionLost
   */
  async publish(message: Message, retain: boolean, what: string): Promise<void> {
    const connection = await this.#current;
    await this.#acknowledged(connection, connection.publish(message, { retain }), what);
  }

  /**
   * Connects again whenever the connection is lost, until `signal` or `close`.
   * @param onLink called once with each loss, and without one when the broker is back
   * @throws Refusal `broker-refused` when the broker no longer accepts this client
   */
  async keep(signal: AbortSignal, onLink: (loss?: ConnectionLost) => void): Promise<void> {
    const stop = AbortSignal.any([signal, this.#closing.signal]);
    const stopped = new Promise<undefined>((resolve) => {
      if (stop.aborted) resolve(undefined);
      stop.addEventListener('abort', () => resolve(undefined), { once: true });
    });
    const isStopped = (): boolean => stop.aborted;
    let delayMs = retryMs.first;
    let reported: Connection | undefined;
    for (;;) {
      const lost = await this.#current;
      const loss = await Promise.race([lost.ended, stopped]);
      if (loss === undefined || isStopped()) return;
      if ((await this.#current) !== lost) continue; // `renew` has ended it
      if (!mayComeBack(loss)) throw refusalOf(loss);
      // The loop also comes here after an attempt that failed.
      if (lost !== reported) onLink(loss);
      reported = lost;
      try {
        await this.#options.clock.sleep(delayMs, stop);
        if ((await this.#current) === lost) {
          this.#redialled ??= this.#redial().finally(() => (this.#redialled = undefined));
        }
        await Promise.race([this.#redialled, stopped]);
        if (isStopped()) return;
        onLink();
        delayMs = retryMs.first;
      } catch (error) {
        if (isStopped()) return;
        if (!(error instanceof ConnectionLost)) throw error;
        if (!mayComeBack(error)) throw refusalOf(error);
        delayMs = Math.min(2 * delayMs, retryMs.longest);
      }
    }
  }

  /** Replaces the connection by a new one. @throws Refusal as `opened` */
  async renew(): Promise<void> {
    const old = await this.#current;
    this.#redialled ??= this.#redial().finally(() => (this.#redialled = undefined));
    await orRefusal(this.#redialled);
    await old.close();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await (await this.#current).close();
  }

  async #redial(): Promise<void> {
    const connection = await this.#dial(this.#closing.signal);
    for (const qos of [0, 1] as const) {
      const topics = [...this.#topics].flatMap(([topic, wanted]) => (wanted === qos ? [topic] : []));
      if (topics.length > 0) await this.#subscribe(connection, topics, qos);
    }
    this.#current = Promise.resolve(connection);
    this.#options.onBack();
  }

  async #subscribe(connection: Connection, topics: readonly string[], qos: Qos): Promise<void> {
    const packets = Array.from({ length: Math.ceil(topics.length / topicsAtOnce) }, (_, index) =>
      topics.slice(index * topicsAtOnce, (index + 1) * topicsAtOnce),
    );
    const work = async (): Promise<void> => {
      for (let next = packets.shift(); next !== undefined; next = packets.shift())
        await this.#acknowledged(connection, connection.subscribe(next, qos), 'the subscription');
    };
    await Promise.all(Array.from({ length: Math.min(packetsAtOnce, packets.length) }, work));
  }

  async #acknowledged(connection: Connection, work: Promise<unknown>, what: string): Promise<void> {
    await acknowledged({ clock: this.#options.clock, connection }, what, work, answerWithinMs);
  }

  #dial(signal?: AbortSignal): Promise<Connection> {
    return this.#options.transport.connect({
      // Another client identifier each time: two terminals of one operator must not disconnect each
      // other.
      clientId: clientIdentifier(this.#options.fleet, `operator-${randomBytes(4).toString('hex')}`),
      keepaliveSeconds: 60,
      onMessage: this.#options.onMessage,
      readsMany: true,
      ...(signal === undefined ? {} : { signal }),
    });
  }
}
