import { randomBytes } from 'node:crypto';
import type { Clock } from '../ports/index.ts';
import { Refusal } from '../refusal/index.ts';
import {
  ConnectionLost,
  deviceTopics,
  fleetFilter,
  parseDeviceTopic,
  type Connection,
  type Message,
  type Transport,
} from '../session/index.ts';
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

/**
 * The operator's connection to the broker: hears what devices say of themselves and publishes signed commands. One
 * connection for one piece of work; when it breaks, the work ends with a sentence that says so.
 */
export class FleetLink {
  readonly #fleet: string;
  readonly #clock: Clock;
  readonly #connection: Connection;
  readonly #views = new Map<string, DeviceView>();
  readonly #listeners = new Set<(view: DeviceView) => void>();

  private constructor(fleet: string, clock: Clock, connection: Connection) {
    this.#fleet = fleet;
    this.#clock = clock;
    this.#connection = connection;
  }

  /** @throws Refusal `broker-unreachable`, `broker-refused` */
  static async connect(options: {
    readonly fleet: string;
    readonly transport: Transport;
    readonly clock: Clock;
  }): Promise<FleetLink> {
    const early: Message[] = [];
    let receive = (message: Message): void => void early.push(message);
    const connection = await orRefusal(
      options.transport.connect({
        // Another name each time: two terminals of one operator must not throw each other out.
        clientId: `${options.fleet}.operator-${randomBytes(4).toString('hex')}`,
        keepaliveSeconds: 60,
        onMessage: (message) => receive(message),
      }),
    );
    const link = new FleetLink(options.fleet, options.clock, connection);
    receive = (message) => link.#receive(message);
    early.forEach(receive);
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
            fleetFilter(this.#fleet, 'reported'),
            fleetFilter(this.#fleet, 'live'),
            fleetFilter(this.#fleet, 'event'),
          ]
        : devices.flatMap((device) => {
            const { reported, live, event } = deviceTopics(this.#fleet, device);
            return [reported, live, event];
          });
    await orRefusal(this.#connection.subscribe(topics));
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
    return this.#views.get(device) ?? { device, events: [] };
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
    const topic = deviceTopics(this.#fleet, device).desired;
    await orRefusal(this.#connection.publish({ topic, payload: envelope }, { retain: true }));
  }

  /**
   * Follows `version` on `device` to its end.
   * @param eventsBefore how many events the view had before the version was published
   * @throws Refusal `not-confirmed` when there is no answer within `timeoutMs`, and as `connect` when the broker goes away
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
    await this.until(judge, timeoutMs).catch((error: unknown) => {
      if (!(error instanceof Refusal) || error.code !== 'not-confirmed') throw error;
      const seen = this.view(device).presence?.up === true ? '' : ' (it is not connected)';
      const advice = 'the command stays on the broker; follow it with "wherry status --watch"';
      throw new Refusal(
        'not-confirmed',
        `${device} did not finish version ${version} in time${seen}, last seen in phase ${progress.phase}; ${advice}`,
      );
    });
    if (!isOutcome(progress)) throw new Error('waited for an outcome');
    return progress;
  }

  /** Resolves when `condition` holds; asked again after each message. @throws Refusal `not-confirmed` after `timeoutMs` */
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
    const late = this.#clock.sleep(timeoutMs, done.signal).then(
      () => Promise.reject(new Refusal('not-confirmed', 'no answer in time')),
      () => undefined,
    );
    const lost = this.#connection.ended.then((loss) => Promise.reject(refusalOf(loss)));
    lost.catch(() => undefined);
    try {
      await Promise.race([met, late, lost]);
    } finally {
      done.abort();
    }
  }

  /** Resolves when the connection has ended. */
  get ended(): Promise<ConnectionLost> {
    return this.#connection.ended;
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  #receive({ topic, payload }: Message): void {
    const parsed = parseDeviceTopic(topic);
    if (parsed === undefined || parsed.fleet !== this.#fleet) return;
    const { device, kind } = parsed;
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

function refusalOf(loss: ConnectionLost): Refusal {
  const away = loss.reason === 'unreachable' || loss.reason === 'no-network' || loss.reason === 'closed';
  return away
    ? new Refusal('broker-unreachable', `no connection to the broker: ${loss.message}`, { cause: loss })
    : new Refusal('broker-refused', `the broker refused the connection: ${loss.message}`, { cause: loss });
}
