import type { Refusal } from '../../core/refusal/index.ts';
import { ConnectionLost, type Connection, type Message } from '../../wire/mqtt/index.ts';
import {
  encodePresence,
  type DeploymentEvent,
  type DeviceReport,
  type Presence,
  clientIdentifier,
  deviceTopics,
  type DeviceTopics,
  type Telemetry,
} from '../../wire/report/index.ts';
import { HeardTopics } from './heard-topics.ts';
import { lateWill } from './late-will.ts';
import { logLoss } from './loss-journal.ts';
import { Outbox } from './outbox.ts';
import { OutboxSender } from './outbox-sender.ts';
import { publishAcknowledged } from './publish-acknowledged.ts';
import type { ConnectionState, DeviceSessionOptions } from './session-options.ts';
import {
  afterLoss,
  bootDelayMs,
  defaultReconnectPolicy,
  initialReconnectState,
  keepaliveSeconds,
  seededFraction,
  type ReconnectPolicy,
} from './reconnect-policy.ts';

type Listener<T> = (value: T) => void;

/** How long the broker may take to acknowledge the last message, and one that only asks it. */
const [disconnectWithinMs, reachWithinMs] = [3_000, 20_000];

/**
 * When a device without a command subscribes again: the wait, and the width of the window that
 * spreads a fleet.
 */
const askAgainMs = { least: 5_000, spread: 10_000 };

/**
 * The device's side of MQTT for the life of the process: one connection after the other, each with
 * a clean session, because all state is published or requested again.
 *
 * On every connection it publishes `live`, subscribes to `desired`, requests it by `get` for
 * brokers that retain nothing, and publishes the newest report and all unacknowledged events. When
 * no command came, it subscribes to `desired` again some seconds later. Delivery is at least once
 * and in no order (NATS re-delivers late), so listeners must compare versions.
 */
export class DeviceSession {
  readonly #options: DeviceSessionOptions;
  readonly #topics: DeviceTopics;
  readonly #stopping = new AbortController();
  readonly #desiredListeners = new Set<(payload: Uint8Array, group?: string) => void>();
  readonly #heard: HeardTopics;
  readonly #askListeners = new Set<Listener<Uint8Array>>();
  readonly #rootListeners = new Set<(version: number, payload: Uint8Array) => void>();
  readonly #refusedListeners = new Set<(refusal: Refusal, group?: string) => void>();
  readonly #connectionListeners = new Set<Listener<ConnectionState>>();
  readonly #outbox: Outbox;
  readonly #sender: OutboxSender;
  #policy: ReconnectPolicy;
  #link: { readonly connection: Connection; readonly presence: Presence; commands: number } | undefined;
  #connections = 0;
  #running: Promise<void> | undefined;

  /**
   * @throws Refusal `input-invalid` when fleet or device is not a name that can be part of a topic
   */
  constructor(options: DeviceSessionOptions) {
    this.#options = options;
    this.#topics = deviceTopics(options.fleet, options.device);
    this.#heard = new HeardTopics(options);
    const { clock, journal } = options;
    this.#outbox = new Outbox(options.keptEvents);
    this.#sender = new OutboxSender({ clock, journal, topics: this.#topics, outbox: this.#outbox });
    this.#policy = { ...defaultReconnectPolicy, ...options.policy };
  }

  /** Begins to connect, and to reconnect until `close`. */
  start(): void {
    this.#running ??= this.#run();
  }

  /**
   * Publishes `report`, now or with the next connection. Only the newest is kept: it is a state,
   * not an event.
   */
  publishReport(report: DeviceReport): void {
    this.#outbox.putReport(report);
    void this.#sender.send();
  }

  /**
   * Publishes the newest report again, for a sender who published a known command again. The first
   * command on a connection is the retained one, for which the report of the connection suffices.
   */
  repeatReport(): void {
    if ((this.#link?.commands ?? 0) < 2) return;
    this.#outbox.repeatReport();
    void this.#sender.send();
  }

  /** Publishes `telemetry` in the same way as a report. */
  publishTelemetry(telemetry: Telemetry): void {
    this.#outbox.putTelemetry(telemetry);
    void this.#sender.send();
  }

  /** Publishes `event`, and again with each connection until the broker acknowledges it. */
  publishEvent(event: DeploymentEvent): void {
    this.#outbox.putEvent(event);
    void this.#sender.send();
  }

  /**
   * Registers a listener for the unchecked bytes of each message on `desired` and on the topics of
   * groups. An empty message (the topic was cleared) is not passed on.
   */
  onDesired(listener: (payload: Uint8Array, group?: string) => void): void {
    this.#desiredListeners.add(listener);
  }

  /**
   * Registers a listener for the unchecked bytes of each message on `ask`, including empty ones.
   */
  onAsk(listener: Listener<Uint8Array>): void {
    this.#askListeners.add(listener);
  }

  /**
   * Publishes a part of an answer, and resolves with whether the broker has acknowledged it. It is
   * not repeated: the answer ends with the connection.
   */
  async publishLog(payload: Uint8Array): Promise<boolean> {
    const connection = this.#link?.connection;
    if (connection === undefined) return false;
    try {
      await this.#acknowledged(connection, { topic: this.#topics.log, payload }, false);
      return true;
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      const { reason, message } = error;
      if (reason !== 'credentials' && reason !== 'too-large') this.#giveUp(connection, error);
      this.#options.journal.log('warning', `a part of a log was not sent: ${message}`);
      return false;
    }
  }

  /**
   * Publishes `live` once more, and resolves with whether the broker has acknowledged it. A
   * connection on which it does not is given up.
   */
  async reach(): Promise<boolean> {
    if (this.#link === undefined) return false;
    const { connection, presence } = this.#link;
    try {
      await this.#acknowledged(connection, this.#presenceMessage(presence), true, reachWithinMs);
      return true;
    } catch (error) {
      this.#giveUp(connection, error);
      return false;
    }
  }

  /**
   * Registers a listener for the unchecked bytes of each message on the topic of the awaited root.
   */
  onRoot(listener: (version: number, payload: Uint8Array) => void): void {
    this.#rootListeners.add(listener);
  }

  /**
   * Awaits this version of the root of trust, on this connection and all later ones, and requests
   * the commands again: the newly trusted root may verify what the previous one could not.
   */
  awaitRoot(version: number): void {
    this.#heard.awaitedRoot = version;
    const connection = this.#link?.connection;
    if (connection === undefined) return;
    this.#heard
      .subscribeRoot(connection)
      .then(() => this.#heard.subscribeCommands(connection))
      .catch((error: unknown) => this.#giveUp(connection, error));
  }

  /** Requests the commands of all targets again; without a connection the next one does. */
  askForCommands(): void {
    const connection = this.#link?.connection;
    if (connection === undefined) return;
    this.#heard.subscribeCommands(connection).catch((error: unknown) => this.#giveUp(connection, error));
  }

  /** Registers a listener for commands that were dropped unread (`envelope-too-large`). */
  onRefused(listener: (refusal: Refusal, group?: string) => void): void {
    this.#refusedListeners.add(listener);
  }

  onConnection(listener: Listener<ConnectionState>): void {
    this.#connectionListeners.add(listener);
  }

  /** What the connection carries now; undefined while there is none. */
  get traffic(): { readonly hasCommand: boolean; readonly hasUnsent: boolean } | undefined {
    if (this.#link === undefined) return undefined;
    const { commands } = this.#link;
    return { hasCommand: commands > 0, hasUnsent: this.#sender.hasUnsent };
  }

  /** Sets the width of the reconnect window as the trusted desired state specifies. */
  setReconnectWindow(seconds: number): void {
    this.#policy = { ...this.#policy, windowMs: seconds * 1000 };
  }

  /**
   * Publishes `live` as down, instead of leaving that to the will, and ends. Unsent events
   * are kept for the next process (`keptEvents`), which makes a report of its own.
   */
  async close(): Promise<void> {
    this.#stopping.abort(new ConnectionLost('closed', 'the session is being closed'));
    const link = this.#link;
    if (link !== undefined) {
      await this.#acknowledged(
        link.connection,
        this.#presenceMessage({ ...link.presence, up: false }),
        true,
        disconnectWithinMs,
      ).catch(
        () => undefined, // The connection is lost: the will has the same content.
      );
      await link.connection.close();
    }
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    let state = initialReconnectState;
    if (!(await this.#wait(bootDelayMs(this.#policy, this.#fraction(0))))) return;
    for (;;) {
      const attemptedAtMs = clock.monotonicMs();
      const { loss, establishedAtMs } = await this.#connectOnce();
      if (this.#stopping.signal.aborted) return;
      const next = afterLoss(
        this.#policy,
        state,
        {
          reason: loss.reason,
          ...(establishedAtMs === undefined ? {} : { sessionMs: clock.monotonicMs() - establishedAtMs }),
        },
        this.#fraction(state.failures + 1),
      );
      state = next.state;
      this.#tellLoss(loss, next.delayMs, attemptedAtMs);
      if (!(await this.#wait(next.delayMs))) return;
    }
  }

  /** One connection from the attempt to its end. */
  async #connectOnce(): Promise<{ loss: ConnectionLost; establishedAtMs?: number }> {
    const { transport, clock, bootId, fleet, device } = this.#options;
    const presence: Presence = { format: 1, bootId, connection: ++this.#connections, up: true };
    const keepalive = keepaliveSeconds(this.#fraction(this.#connections));
    let establishedAtMs: number | undefined;
    this.#debug(`connecting to the broker (connection ${presence.connection}, keepalive ${keepalive} s)`);
    try {
      const connection = await transport.connect({
        clientId: this.#options.clientId ?? clientIdentifier(fleet, device),
        keepaliveSeconds: keepalive,
        will: this.#presenceMessage({ ...presence, up: false }),
        onMessage: (message) => this.#receive(message),
        onDropped: (topic, refusal) => this.#drop(topic, refusal),
        signal: this.#stopping.signal,
      });
      establishedAtMs = clock.monotonicMs();
      this.#link = { connection, presence, commands: 0 };
      this.#greet(connection, presence);
      const loss = await connection.ended;
      return { loss, establishedAtMs };
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      return { loss: error };
    } finally {
      this.#link = undefined;
      this.#sender.over(undefined);
    }
  }

  /**
   * Sends the first messages of a connection, in this order on the wire, without waiting between
   * them.
   */
  #greet(connection: Connection, presence: Presence): void {
    const greeting = Promise.all([
      this.#acknowledged(connection, this.#presenceMessage(presence), true),
      this.#heard.subscribe(connection),
      this.#acknowledged(connection, { topic: this.#topics.get, payload: new Uint8Array() }, false),
    ]);
    this.#options.journal.log('info', `connected to the broker (connection ${presence.connection})`);
    tell(this.#connectionListeners, { up: true, connection: presence.connection });
    this.#sender.over(connection);
    greeting
      .then(() => this.#askAgain(connection))
      .catch((error: unknown) => this.#giveUp(connection, error));
  }

  /**
   * Subscribes again when no command came. A broker that has just started may grant a subscription
   * before it has loaded its retained messages, and then never send them (seen with NATS server
   * 2.15.1 and clients in its first 0.7 s).
   */
  async #askAgain(connection: Connection): Promise<void> {
    const over = new AbortController();
    void connection.ended.then(() => over.abort());
    const signal = AbortSignal.any([over.signal, this.#stopping.signal]);
    const delayMs = askAgainMs.least + askAgainMs.spread * this.#fraction(this.#connections);
    const isOver = await this.#options.clock.sleep(delayMs, signal).then(
      () => false,
      () => true,
    );
    if (isOver || (this.#link?.commands ?? 0) > 0) return;
    await this.#heard.subscribeCommands(connection);
  }

  #receive(message: Message): void {
    this.#debug(`${message.payload.length} bytes received on ${message.topic}`);
    const { payload } = message;
    const heard = this.#heard.of(message.topic);
    if (heard?.kind === 'live') this.#checkPresence(payload);
    else if (heard?.kind === 'ask') tell(this.#askListeners, payload);
    if (heard === undefined || payload.length === 0) return;
    if (heard.kind === 'command') {
      if (this.#link !== undefined && heard.group === undefined) this.#link.commands += 1;
      for (const listener of this.#desiredListeners) listener(payload, heard.group);
    } else if (heard.kind === 'root') {
      for (const listener of this.#rootListeners) listener(heard.version, payload);
    }
  }

  #checkPresence(payload: Uint8Array): void {
    const late = this.#link && lateWill(this.#link.presence, payload);
    if (late === undefined) return;
    this.#debug(`live is corrected: the will of connection ${late.connection} arrived late`);
    void this.reach();
  }

  #drop(topic: string, refusal: Refusal): void {
    // The listeners answer and log it, as every other refusal.
    const heard = this.#heard.of(topic);
    if (heard?.kind === 'command')
      for (const listener of this.#refusedListeners) listener(refusal, heard.group);
    else this.#options.journal.log('warning', refusal.message, { WHERRY_CODE: refusal.code });
  }

  async #acknowledged(
    connection: Connection,
    message: Message,
    retain: boolean,
    withinMs?: number,
  ): Promise<void> {
    await publishAcknowledged({ clock: this.#options.clock, connection }, message, retain, withinMs);
  }

  #giveUp(connection: Connection, error: unknown): void {
    if (!(error instanceof ConnectionLost)) throw error;
    connection.abort(error);
  }

  #tellLoss(loss: ConnectionLost, retryInMs: number, attemptedAtMs: number): void {
    const { clock, journal } = this.#options;
    logLoss(journal, loss, retryInMs, clock.monotonicMs() - attemptedAtMs);
    tell(this.#connectionListeners, { up: false, reason: loss.reason, detail: loss.message, retryInMs });
  }

  #debug(text: string): void {
    this.#options.journal.log('debug', text);
  }

  #presenceMessage(presence: Presence): Message {
    return { topic: this.#topics.live, payload: encodePresence(presence) };
  }

  #fraction(attempt: number): number {
    return seededFraction(this.#options.device, this.#options.clock.nowMs(), attempt);
  }

  /** False when the session was closed meanwhile. */
  async #wait(delayMs: number): Promise<boolean> {
    try {
      if (delayMs > 0) await this.#options.clock.sleep(delayMs, this.#stopping.signal);
      return !this.#stopping.signal.aborted;
    } catch {
      return false;
    }
  }
}

function tell<T>(listeners: ReadonlySet<Listener<T>>, value: T): void {
  for (const listener of listeners) listener(value);
}
