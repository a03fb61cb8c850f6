import { acknowledged, type Connection, ConnectionLost } from '../../wire/mqtt/index.ts';
import { deviceTopics, type DeviceTopics, groupTopic, rootTopic } from '../../wire/report/index.ts';
import type { DeviceSessionOptions } from './session-options.ts';

/** The kind of a message, by its topic. */
export type Heard =
  | { readonly kind: 'command'; readonly group?: string }
  | { readonly kind: 'live' | 'ask' }
  | { readonly kind: 'root'; readonly version: number };

/**
 * The topics that a device subscribes to: its own, those of its groups, the next root of trust, and
 * requests if it answers them. If the broker does not grant one of the latter three, the device
 * does without it and keeps the connection.
 */
export class HeardTopics {
  readonly #options: DeviceSessionOptions;
  readonly #topics: DeviceTopics;
  /** Topic → group. */
  readonly #groups: ReadonlyMap<string, string>;
  /** The version of the root of trust that is awaited. */
  awaitedRoot: number | undefined;

  /** @throws Refusal `input-invalid` when fleet or device cannot be part of a topic */
  constructor(options: DeviceSessionOptions) {
    this.#options = options;
    this.#topics = deviceTopics(options.fleet, options.device);
    this.#groups = new Map(
      options.groups?.map((group) => [groupTopic(options.fleet, group), group] as const),
    );
  }

  /** Undefined for a topic without a subscription, or with a former one. */
  of(topic: string): Heard | undefined {
    if (topic === this.#topics.desired) return { kind: 'command' };
    if (topic === this.#topics.live) return { kind: 'live' };
    if (topic === this.#topics.ask) return this.#options.asks === true ? { kind: 'ask' } : undefined;
    const group = this.#groups.get(topic);
    if (group !== undefined) return { kind: 'command', group };
    const version = this.awaitedRoot;
    const isAwaited = version !== undefined && topic === rootTopic(this.#options.fleet, version);
    return isAwaited ? { kind: 'root', version } : undefined;
  }

  /** Subscribes to all of them, on the wire in this order. */
  async subscribe(connection: Connection): Promise<void> {
    await Promise.all([
      this.subscribeRoot(connection),
      this.#subscribe(connection, [this.#topics.desired, this.#topics.live]),
      this.#subscribeGroups(connection),
      this.#options.asks === true
        ? this.#subscribeIfGranted(connection, this.#topics.ask, 'no request for logs')
        : undefined,
    ]);
  }

  async subscribeRoot(connection: Connection): Promise<void> {
    if (this.awaitedRoot === undefined) return;
    const topic = rootTopic(this.#options.fleet, this.awaitedRoot);
    await this.#subscribeIfGranted(connection, topic, 'no newer root of trust');
  }

  async subscribeCommands(connection: Connection): Promise<void> {
    await this.#subscribe(connection, [this.#topics.desired]);
    await this.#subscribeGroups(connection);
  }

  /** In the order of the groups, one after the other on the wire. */
  async #subscribeGroups(connection: Connection): Promise<void> {
    await Promise.all(
      [...this.#groups].map(([topic, group]) =>
        this.#subscribeIfGranted(connection, topic, `no command for the group ${group}`),
      ),
    );
  }

  async #subscribeIfGranted(connection: Connection, topic: string, lacking: string): Promise<void> {
    await this.#subscribe(connection, [topic]).catch((error: unknown) => {
      if (!(error instanceof ConnectionLost) || error.reason !== 'credentials') throw error;
      this.#options.journal.log('warning', `${lacking} can come: ${error.message}`, {
        WHERRY_CODE: 'broker-refused',
      });
    });
  }

  async #subscribe(connection: Connection, topics: readonly string[]): Promise<void> {
    const { clock } = this.#options;
    await acknowledged({ clock, connection }, 'the subscription', connection.subscribe(topics));
  }
}
