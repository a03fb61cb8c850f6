import type { Clock } from '../../core/ports/index.ts';
import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import { ConnectionLost, type Message, type Transport } from '../../wire/mqtt/index.ts';
import { deviceTopics, fleetFilter, parseDeviceTopic, rootTopic } from '../../wire/report/index.ts';
import { orRefusal, refusalOf } from './broker-refusal.ts';
import { compareMemory, mustRepeat, type NewestCommand, type ReadBack } from './broker-memory.ts';
import { outcomeUnknown } from './broker-words.ts';
import {
  foldMessage,
  isOutcome,
  progressOf,
  type DeviceView,
  type Outcome,
  type Progress,
} from './device-view.ts';
import { EndMarks } from './end-marks.ts';
import { HeldConnection } from './held-connection.ts';
import { commandTopic, targetOfTopic, type TargetName, trustedOf } from './target-name.ts';

/** How long to wait for retained messages; a broker sends them right after the subscription. */
const retainedWithinMs = 1_500;

/** How long to wait for a command before an echo shows whether the topic can be read at all. */
const commandWithinMs = 300;

/** The wait for the last retained message of a fleet is extended while others arrive. */
const quietMs = { each: 500, rounds: 120 };

/**
 * More named devices than these are subscribed by wildcards. A device needs three subscriptions;
 * AWS IoT Core grants a connection 50, and NATS 63 unless its `max_ack_pending` is set lower.
 */
const exactAtMost = 16;

export interface FleetLinkOptions {
  readonly fleet: string;
  readonly transport: Transport;
  readonly clock: Clock;
}

/**
 * The operator's connection to the broker: receives the reports of devices and publishes signed
 * commands. A wait for a device survives a restart of the broker: the link connects again and
 * subscribes to the same topics; everything that matters is retained.
 */
export class FleetLink {
  readonly #options: FleetLinkOptions;
  readonly #views = new Map<string, DeviceView>();
  readonly #listeners = new Set<(view: DeviceView) => void>();
  /** By target: the command that was published here, and the one that the broker returned. */
  readonly #published = new Map<string, NewestCommand>();
  readonly #returned = new Map<string, Uint8Array>();
  /** Devices whose topic of commands returned an empty message. */
  readonly #echoed = new Set<string>();
  /** By topic: the roots of trust that the broker returned. */
  readonly #roots = new Map<string, Buffer>();
  /** One for each answer that is awaited: the command of a group is followed on each device. */
  readonly #followed = new Set<{ readonly target: TargetName }>();
  readonly #connection: HeldConnection;
  #heard = 0; // messages of devices
  readonly #ends = new EndMarks();

  private constructor(options: FleetLinkOptions) {
    this.#options = options;
    this.#connection = new HeldConnection({
      ...options,
      onMessage: (message) => this.#receive(message),
      onBack: () => void this.#repeatFollowed(),
    });
  }

  /** @throws Refusal `broker-unreachable`, `broker-refused` */
  static async connect(options: FleetLinkOptions): Promise<FleetLink> {
    const link = new FleetLink(options);
    await link.#connection.opened();
    return link;
  }

  /**
   * Listens to `devices`, or to the whole fleet, and waits until their retained messages have
   * arrived, or a moment for devices that never reported. Some brokers return no retained messages
   * for wildcards (RabbitMQ), so exact topics are used for named devices, and for `known` devices
   * of which the wildcards returned nothing. Many named devices are subscribed like a fleet.
   *
   * Mosquitto drops messages when more than 1,000 wait for a client; with QoS 0, a message that the
   * network takes at once does not wait. Presence is short and arrives first, so a device whose
   * report was dropped is then subscribed by name. Other brokers may drop fast QoS 0 messages, so
   * the messages after the retained ones have QoS 1.
   *
   * @param options.once only the retained messages are needed
   */
  async listen(
    devices: readonly string[] | 'all',
    known: readonly string[] = [],
    { once = false } = {},
  ): Promise<void> {
    if (devices !== 'all' && devices.length <= exactAtMost) {
      await this.#listenExactly(devices);
      return;
    }
    const kinds = once ? (['live', 'reported'] as const) : (['live', 'reported', 'event'] as const);
    const filters = kinds.map((kind) => fleetFilter(this.#options.fleet, kind));
    await this.#connection.add(filters, 0);
    const isEnd = this.#ends.ask(this.#connection, 0);
    await this.#wait(isEnd, retainedWithinMs - quietMs.each);
    for (let round = 0, heard = -1; heard !== this.#heard && !isEnd() && round < quietMs.rounds; round++) {
      heard = this.#heard;
      this.#ends.ask(this.#connection, 0); // Mosquitto may keep messages queued until then.
      await this.#wait(isEnd, quietMs.each);
    }
    if (!once && !this.#ends.areGiven) await this.#connection.add(filters, 1);
    const wanted = devices === 'all' ? new Set([...known, ...this.#views.keys()]) : devices;
    const unheard = [...wanted].filter((device) => !this.#isHeard(device));
    await this.#listenExactly(unheard).catch((error: unknown) => {
      // Their later messages still arrive through the wildcards.
      if (!isRefusal(error, 'broker-refused')) throw error;
    });
  }

  async #listenExactly(devices: readonly string[]): Promise<void> {
    const exact = devices.flatMap((device) => {
      const { reported, live, event } = deviceTopics(this.#options.fleet, device);
      return [reported, live, event];
    });
    if (exact.length === 0) return;
    await this.#connection.add(exact);
    // No mark is requested from a broker that never sent one.
    const isEnd = this.#ends.areGiven ? this.#ends.ask(this.#connection, 1) : () => false;
    await this.#wait(() => isEnd() || devices.every(this.#isHeard), retainedWithinMs);
  }

  /**
   * Waits a moment for the telemetry of a device, which may send none, and which this account may
   * not read.
   */
  async listenToNumbers(device: string): Promise<void> {
    const { telemetry } = deviceTopics(this.#options.fleet, device);
    try {
      await this.#connection.subscribe([telemetry]);
      await this.#wait(() => this.view(device).telemetry !== undefined, retainedWithinMs);
    } catch (error) {
      if (!(error instanceof Refusal) && !(error instanceof ConnectionLost)) throw error;
    }
  }

  readonly #isHeard = (device: string): boolean => {
    const view = this.#views.get(device);
    return view?.report !== undefined && view.presence !== undefined;
  };

  view(device: string): DeviceView {
    return this.#views.get(device) ?? { device, events: [], eventCount: 0 };
  }

  /** Every device with a message so far, by name. */
  views(): readonly DeviceView[] {
    return [...this.#views.values()].sort((a, b) => (a.device < b.device ? -1 : 1));
  }

  /** The highest version of a target that any of these devices trusts. */
  trustedVersion(name: TargetName): number {
    return trustedOf(name.startsWith('@') ? [...this.#views.values()] : [this.view(name)], name);
  }

  onChange(listener: (view: DeviceView) => void): void {
    this.#listeners.add(listener);
  }

  /**
   * Publishes a signed envelope for a device, or for a group by `@NAME`, and waits until the broker
   * acknowledges it.
   * @throws Refusal as `connect`
   */
  async publishDesired(device: string, command: NewestCommand): Promise<void> {
    this.#published.set(device, command);
    await this.#connection.opened();
    const { envelope: payload } = command;
    const topic = commandTopic(this.#options.fleet, device);
    await orRefusal(this.#connection.publish({ topic, payload }, true, 'the command'), {
      sent: `the command of ${payload.length} bytes`,
    });
  }

  /**
   * Publishes a root of trust, and returns whether the broker returns it: over MQTT 3.1.1 a broker
   * also acknowledges messages that an account may not write.
   * @throws Refusal as `connect`
   */
  async publishRoot(version: number, envelope: Uint8Array): Promise<{ readonly kept: boolean }> {
    const topic = rootTopic(this.#options.fleet, version);
    await this.#connection.opened();
    await orRefusal(this.#connection.publish({ topic, payload: envelope }, true, 'the root'), {
      sent: `the root of trust of ${envelope.length} bytes`,
    });
    const isReturned = (): boolean => this.#roots.get(topic)?.equals(envelope) === true;
    this.#roots.delete(topic);
    try {
      await this.#connection.subscribe([topic]);
      await this.#wait(isReturned, retainedWithinMs);
    } catch (error) {
      // This account may not read the topic: then `kept` is false.
      if (!(error instanceof Refusal) && !(error instanceof ConnectionLost)) throw error;
    }
    return { kept: isReturned() };
  }

  /**
   * Reads the command of each device back from the broker. An acknowledgement does not prove that a
   * command is kept: over MQTT 3.1.1 a broker also acknowledges messages that an account may not
   * write (MQTT 3.1.1 §3.3.5), and a broker that crashes may lose messages.
   *
   * No message may mean that nothing is kept, or that this account may not read the topic. So an
   * empty message that is not retained is published after a moment. Devices ignore it, and only an
   * account that may read the topic receives it.
   */
  async readBack(devices: readonly string[]): Promise<ReadonlyMap<string, ReadBack>> {
    for (const heard of [this.#returned, this.#echoed]) devices.forEach((device) => heard.delete(device));
    const topicOf = (device: string): string => commandTopic(this.#options.fleet, device);
    const isReturned = (device: string): boolean => this.#returned.has(device);
    try {
      await this.#connection.subscribe(devices.map(topicOf));
      await this.#wait(() => devices.every(isReturned), commandWithinMs);
      const silent = devices.filter((device) => !isReturned(device));
      const payload = new Uint8Array();
      await Promise.all(
        silent.map((device) =>
          this.#connection.publish({ topic: topicOf(device), payload }, false, 'the command'),
        ),
      );
      const isKnown = (device: string): boolean => isReturned(device) || this.#echoed.has(device);
      await this.#wait(() => devices.every(isKnown), retainedWithinMs);
      // A busy broker may return the echo before the command.
      await this.#wait(() => devices.every(isReturned), commandWithinMs);
    } catch (error) {
      // Not allowed, or connection lost: then the result is `unknown` for the others.
      if (!(error instanceof Refusal) && !(error instanceof ConnectionLost)) throw error;
    }
    return new Map(
      devices.map((device): [string, ReadBack] => {
        const envelope = this.#returned.get(device);
        if (envelope !== undefined) return [device, { seen: 'command', envelope }];
        return [device, { seen: this.#echoed.has(device) ? 'nothing' : 'unknown' }];
      }),
    );
  }

  /** Whether the broker returns the command that was published here for `device`. */
  async isKept(device: string): Promise<boolean> {
    const published = this.#published.get(device);
    const read = (await this.readBack([device])).get(device);
    return published !== undefined && read !== undefined && compareMemory(published, read).keeps === 'newest';
  }

  /**
   * Follows `version` on `device` to its outcome.
   * @param eventsBefore the `eventCount` of the view before the version was published
   * @param group the group whose version it is; absent: the device's own
   * @throws Refusal `not-confirmed` when there is no answer within `timeoutMs`, and as `until` when
   *   the broker stays away
   */
  async follow(
    device: string,
    version: number,
    eventsBefore: number,
    timeoutMs: number,
    onProgress: (progress: Progress) => void,
    group?: string,
  ): Promise<Outcome> {
    let progress: Progress = { phase: 'waiting' };
    const judge = () => {
      // The listener hears one message more if it came in the same packet, such as an older report.
      if (isOutcome(progress)) return true;
      const next = progressOf(this.view(device), version, eventsBefore, group);
      if (JSON.stringify(next) !== JSON.stringify(progress)) onProgress(next);
      progress = next;
      return isOutcome(progress);
    };
    const target = group === undefined ? device : `@${group}`;
    const awaited = { target };
    this.#followed.add(awaited);
    const followed = this.until(judge, timeoutMs).finally(() => this.#followed.delete(awaited));
    await followed.catch(async (error: unknown) => {
      if (isRefusal(error, 'broker-unreachable')) {
        const message = `${error.message}; ${outcomeUnknown(version, target)}`;
        throw new Refusal(error.code, message, { cause: error });
      }
      if (!isRefusal(error, 'not-confirmed')) throw error;
      const { presence } = this.view(device);
      const absent = presence === undefined ? 'no message of it arrived' : 'it is not connected';
      const seen = presence?.up === true ? '' : ` (${absent})`;
      const advice = (await this.isKept(target))
        ? 'the command stays on the broker; follow it with "wherry status --watch"'
        : 'the broker does not return the command to this account: it may not have kept it; check what the account may write and read';
      throw new Refusal(
        'not-confirmed',
        `${device} did not finish version ${version} in time${seen}, last seen in phase ${progress.phase}; ${advice}`,
      );
    });
    if (!isOutcome(progress)) throw new Error('waited for an outcome');
    return progress;
  }

  /**
   * Resolves when `condition` holds, after any message. Meanwhile it reconnects when it must.
   * @throws Refusal `not-confirmed` after `timeoutMs`, `broker-unreachable` when there is no broker
   *   then, `broker-refused`
   */
  async until(condition: () => boolean, timeoutMs: number): Promise<void> {
    if (condition()) return;
    const done = new AbortController();
    const met = new Promise<void>((resolve) => {
      const listener = () => {
        if (condition()) resolve();
      };
      this.#listeners.add(listener);
      done.signal.addEventListener('abort', () => this.#listeners.delete(listener));
    });
    let away: ConnectionLost | undefined;
    const late = this.#options.clock.sleep(timeoutMs, done.signal).then(
      () => Promise.reject(away ? refusalOf(away) : new Refusal('not-confirmed', 'no answer in time')),
      () => undefined,
    );
    const held = this.#connection.keep(done.signal, (loss) => (away = loss));
    try {
      await Promise.race([met, late, held.then(() => met)]);
    } finally {
      done.abort();
      await held.catch(() => undefined);
    }
  }

  /** As `HeldConnection.keep`. */
  async keepConnected(signal: AbortSignal, onLink: (loss?: ConnectionLost) => void): Promise<void> {
    await this.#connection.keep(signal, onLink);
  }

  /**
   * Replaces the connection by a new one. A NATS server that has just restarted may grant
   * subscriptions and deliver nothing on them.
   * @throws Refusal as `connect`
   */
  async renew(): Promise<void> {
    await this.#connection.renew();
  }

  /** A broker that was restarted may have lost the commands whose answers are awaited here. */
  async #repeatFollowed(): Promise<void> {
    const followed = (): readonly TargetName[] => [...this.#followed].map(({ target }) => target);
    const devices = [...new Set(followed())];
    const read = devices.length === 0 ? new Map<string, ReadBack>() : await this.readBack(devices);
    for (const [device, seen] of read) {
      const published = this.#published.get(device);
      const trusted = this.trustedVersion(device);
      if (published === undefined || !followed().includes(device)) continue;
      if (!mustRepeat(compareMemory(published, seen), published.version, trusted)) continue;
      // When the connection is lost meanwhile, the next one does this again.
      await this.publishDesired(device, published).catch((error: unknown) => {
        if (!(error instanceof Refusal)) throw error;
      });
    }
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  /** Waits until `condition` holds, at most `withinMs`. */
  async #wait(condition: () => boolean, withinMs: number): Promise<void> {
    await this.until(condition, withinMs).catch((error: unknown) => {
      if (!isRefusal(error, 'not-confirmed')) throw error;
    });
  }

  #receive(message: Message): void {
    const { fleet, device, kind } = parseDeviceTopic(message.topic) ?? {};
    if (device === undefined || kind === undefined || kind === 'desired') {
      this.#receiveOther(message);
      return;
    }
    if (fleet !== this.#options.fleet || kind === 'get' || kind === 'ask' || kind === 'log') return;
    this.#heard += 1;
    const view = foldMessage(this.view(device), kind, message.payload);
    this.#views.set(device, view);
    for (const listener of this.#listeners) listener(view);
  }

  /** A root of trust, the mark of the end, or a command. */
  #receiveOther({ topic, payload }: Message): void {
    const { fleet } = this.#options;
    const isRoot = topic.startsWith(`v1/${fleet}/root/`);
    if (isRoot) this.#roots.set(topic, Buffer.from(payload));
    const target = targetOfTopic(fleet, topic);
    if (target !== undefined) {
      // An empty message is an echo, or the topic was cleared.
      if (payload.length === 0) this.#echoed.add(target);
      else this.#returned.set(target, payload);
    } else if (!isRoot && !this.#ends.receive({ topic, payload })) return;
    for (const listener of this.#listeners) listener(this.view(target ?? ''));
  }
}
