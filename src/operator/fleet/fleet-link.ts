import { randomBytes } from 'node:crypto';
import type { Clock } from '../../core/ports/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import {
  acknowledged,
  ConnectionLost,
  type Connection,
  type Message,
  type Transport,
} from '../../wire/mqtt/index.ts';
import { deviceTopics, fleetFilter, parseDeviceTopic } from '../../wire/report/index.ts';
import {
  foldMessage,
  isOutcome,
  progressOf,
  type DeviceView,
  type Outcome,
  type Progress,
} from './device-view.ts';

/** How long retained messages may take to arrive; a broker sends them right after the subscription. */
const retainedWithinMs = 1_500;

/** How long the broker may take to acknowledge what a person waits for. */
const answerWithinMs = 30_000;

/** The first pause before the broker is tried again, and the longest. */
const retryMs = { first: 500, longest: 15_000 };

export interface FleetLinkOptions {
  readonly fleet: string;
  readonly transport: Transport;
  readonly clock: Clock;
}

/**
 * The operator's connection to the broker: hears what devices say of themselves and publishes signed commands. Who waits
 * for a device outlives a broker that is restarted: the link connects again and asks for the same topics; everything
 * that matters is retained.
 */
export class FleetLink {
  readonly #options: FleetLinkOptions;
  readonly #views = new Map<string, DeviceView>();
  readonly #listeners = new Set<(view: DeviceView) => void>();
  /** By device: the command that was published here, and the one that the broker returned. */
  readonly #published = new Map<string, Uint8Array>();
  readonly #returned = new Map<string, Uint8Array>();
  readonly #closing = new AbortController();
  #connection: Promise<Connection>;
  #topics: readonly string[] = [];

  private constructor(options: FleetLinkOptions) {
    this.#options = options;
    this.#connection = this.#dial();
  }

  /** @throws Refusal `broker-unreachable`, `broker-refused` */
  static async connect(options: FleetLinkOptions): Promise<FleetLink> {
    const link = new FleetLink(options);
    await orRefusal(link.#connection);
    return link;
  }

  /**
   * Listens to `devices`, or to the whole fleet, and waits until what the broker kept of them is there: a moment for devices
   * that never reported. Exact topics where devices are named, for brokers without retained messages on wildcards.
   */
  async listen(devices: readonly string[] | 'all'): Promise<void> {
    const topics =
      devices === 'all'
        ? [
            fleetFilter(this.#options.fleet, 'reported'),
            fleetFilter(this.#options.fleet, 'live'),
            fleetFilter(this.#options.fleet, 'event'),
          ]
        : devices.flatMap((device) => {
            const { reported, live, event } = deviceTopics(this.#options.fleet, device);
            return [reported, live, event];
          });
    await orRefusal(this.#connection.then((connection) => this.#subscribe(connection, topics)));
    this.#topics = topics;
    const isComplete = () =>
      devices !== 'all' &&
      devices.every((device) => {
        const view = this.#views.get(device);
        return view?.report !== undefined && view.presence !== undefined;
      });
    await this.until(isComplete, retainedWithinMs).catch((error: unknown) => {
      if (!(error instanceof Refusal) || error.code !== 'not-confirmed') throw error;
    });
  }

  view(device: string): DeviceView {
    return this.#views.get(device) ?? { device, events: [], eventCount: 0 };
  }

  /** Every device that was heard of, by name. */
  views(): readonly DeviceView[] {
    return [...this.#views.values()].sort((a, b) => (a.device < b.device ? -1 : 1));
  }

  onChange(listener: (view: DeviceView) => void): void {
    this.#listeners.add(listener);
  }

  /** Publishes a signed envelope and waits until the broker has it. @throws Refusal as `connect` */
  async publishDesired(device: string, envelope: Uint8Array): Promise<void> {
    const topic = deviceTopics(this.#options.fleet, device).desired;
    const connection = await this.#connection;
    this.#published.set(device, envelope);
    const published = connection.publish({ topic, payload: envelope }, { retain: true });
    const { clock } = this.#options;
    await orRefusal(acknowledged({ clock, connection }, 'the command', published, answerWithinMs));
  }

  /**
   * Follows `version` on `device` to its end.
   * @param eventsBefore the `eventCount` of the view before the version was published
   * @throws Refusal `not-confirmed` when there is no answer within `timeoutMs`, and as `until` when the broker stays away
   */
  async follow(
    device: string,
    version: number,
    eventsBefore: number,
    timeoutMs: number,
    onProgress: (progress: Progress) => void,
  ): Promise<Outcome> {
    let progress: Progress = { phase: 'waiting' };
    const judge = () => {
      const next = progressOf(this.view(device), version, eventsBefore);
      if (JSON.stringify(next) !== JSON.stringify(progress)) onProgress(next);
      progress = next;
      return isOutcome(progress);
    };
    await this.until(judge, timeoutMs).catch(async (error: unknown) => {
      if (!(error instanceof Refusal) || error.code !== 'not-confirmed') throw error;
      const seen = this.view(device).presence?.up === true ? '' : ' (it is not connected)';
      const advice = (await this.#isKept(device))
        ? 'the command stays on the broker; follow it with "wherry status --watch"'
        : 'the broker does not return the command to this account: it may not have kept it; look at what the account may write and read';
      throw new Refusal(
        'not-confirmed',
        `${device} did not finish version ${version} in time${seen}, last seen in phase ${progress.phase}; ${advice}`,
      );
    });
    if (!isOutcome(progress)) throw new Error('waited for an outcome');
    return progress;
  }

  /**
   * Resolves when `condition` holds; asked again after each message. A lost connection is made again meanwhile.
   * @throws Refusal `not-confirmed` after `timeoutMs`, `broker-unreachable` when there is no broker then, `broker-refused`
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
    const held = this.keepConnected(done.signal, (loss) => (away = loss));
    try {
      await Promise.race([met, late, held.then(() => met)]);
    } finally {
      done.abort();
      await held.catch(() => undefined);
    }
  }

  /**
   * Connects again whenever the connection is lost, until `signal` or `close`.
   * @param onLink told of a loss, and with nothing when the broker is back
   * @throws Refusal `broker-refused` when the broker does not want us any more
   */
  async keepConnected(signal: AbortSignal, onLink: (loss?: ConnectionLost) => void): Promise<void> {
    const stop = AbortSignal.any([signal, this.#closing.signal]);
    const stopped = new Promise<undefined>((resolve) => {
      if (stop.aborted) resolve(undefined);
      stop.addEventListener('abort', () => resolve(undefined), { once: true });
    });
    const isStopped = (): boolean => stop.aborted;
    let delayMs = retryMs.first;
    for (;;) {
      const { ended } = await this.#connection;
      const loss = await Promise.race([ended, stopped]);
      if (loss === undefined || isStopped()) return;
      if (!isAway(loss)) throw refusalOf(loss);
      onLink(loss);
      try {
        await this.#options.clock.sleep(delayMs, stop);
        const connection = await this.#dial(stop);
        if (this.#topics.length > 0) await this.#subscribe(connection, this.#topics);
        this.#connection = Promise.resolve(connection);
        onLink();
        delayMs = retryMs.first;
      } catch (error) {
        if (isStopped()) return;
        if (!(error instanceof ConnectionLost)) throw error;
        if (!isAway(error)) throw refusalOf(error);
        delayMs = Math.min(2 * delayMs, retryMs.longest);
      }
    }
  }

  /**
   * Whether the broker returns the command that was published for `device`. An acknowledgement does not say that: over MQTT 3.1.1 a
   * broker acknowledges also what an account may not write (MQTT 3.1.1 §3.3.5).
   */
  async #isKept(device: string): Promise<boolean> {
    const published = this.#published.get(device);
    const isReturned = () => {
      const returned = this.#returned.get(device);
      return published !== undefined && returned !== undefined && Buffer.compare(returned, published) === 0;
    };
    const topic = deviceTopics(this.#options.fleet, device).desired;
    try {
      await (await this.#connection).subscribe([topic]);
      await this.until(isReturned, retainedWithinMs);
    } catch (error) {
      // Not allowed to read, or nothing came: it was not seen, and that is what is said.
      if (!(error instanceof Refusal) && !(error instanceof ConnectionLost)) throw error;
    }
    return isReturned();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await (await this.#connection).close();
  }

  async #subscribe(connection: Connection, topics: readonly string[]): Promise<void> {
    const { clock } = this.#options;
    const subscribed = connection.subscribe(topics);
    await acknowledged({ clock, connection }, 'the subscription', subscribed, answerWithinMs);
  }

  #dial(signal?: AbortSignal): Promise<Connection> {
    return this.#options.transport.connect({
      // Another name each time: two terminals of one operator must not throw each other out.
      clientId: `${this.#options.fleet}.operator-${randomBytes(4).toString('hex')}`,
      keepaliveSeconds: 60,
      onMessage: (message) => this.#receive(message),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  #receive({ topic, payload }: Message): void {
    const parsed = parseDeviceTopic(topic);
    if (parsed === undefined || parsed.fleet !== this.#options.fleet) return;
    const { device, kind } = parsed;
    if (kind === 'desired') {
      this.#returned.set(device, payload);
      for (const listener of this.#listeners) listener(this.view(device));
    }
    if (kind !== 'reported' && kind !== 'live' && kind !== 'event') return;
    const view = foldMessage(this.view(device), kind, payload);
    this.#views.set(device, view);
    for (const listener of this.#listeners) listener(view);
  }
}

async function orRefusal<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof ConnectionLost ? refusalOf(error) : error;
  }
}

/** Whether it may be there again in a moment. */
function isAway({ reason }: ConnectionLost): boolean {
  return reason === 'unreachable' || reason === 'no-network' || reason === 'closed';
}

function refusalOf(loss: ConnectionLost): Refusal {
  return isAway(loss)
    ? new Refusal('broker-unreachable', `no connection to the broker: ${loss.message}`, { cause: loss })
    : new Refusal('broker-refused', `the broker refused the connection: ${loss.message}`, { cause: loss });
}
