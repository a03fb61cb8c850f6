import { connect as connectTcp, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
// Only the client itself: the package's entry also loads WebSocket, SOCKS and browser code, which a
// device never uses.
import mqttClientModule from 'mqtt/lib/client';
import { type Clock, systemClock } from '../../core/ports/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import {
  type BrokerRemarks,
  lossByBroker,
  lossOf,
  messageOf,
  publishLoss,
  subscribeLoss,
} from './broker-losses.ts';
import { type Endpoint, parseBrokerUrl } from './broker-url.ts';
import { GatedStream } from './gated-stream.ts';
import { readPublish } from './read-publish.ts';
import {
  ConnectionLost,
  type Connection,
  type ConnectOptions,
  type Message,
  type Qos,
  type Transport,
} from './transport.ts';

// A CommonJS module with a default export: Node and bundlers return its exports, Vite returns the
// default itself.
const imported: unknown = mqttClientModule;
const MqttClient =
  typeof imported === 'function' ? (imported as typeof mqttClientModule.default) : mqttClientModule.default;
type MqttClient = InstanceType<typeof MqttClient>;

export interface BrokerAddress {
  /**
   * `mqtt://host[:1883]`, `mqtts://host[:8883]`, `ws://host[:80][/mqtt]` or
   * `wss://host[:443][/mqtt]`
   */
  readonly url: string;
  /** 4 is MQTT 3.1.1. */
  readonly version: 4 | 5;
  /** PEM; without it the system's certificate authorities are trusted. */
  readonly ca?: string;
  /** PEM of the client certificate and its key. */
  readonly cert?: string;
  readonly key?: string;
  readonly username?: string;
  readonly password?: string;
}

/**
 * On MQTT 5 the broker does not send larger packets. The device receives packets below this size
 * and can report those that it drops.
 */
const announcedMaxPacketBytes = 2 * 1024 * 1024;
const connectTimeoutMs = 30_000;
/**
 * Of a name with several addresses, Node gives each but the last 250 ms, less than a handshake of
 * TCP takes over a satellite or a busy 2G link.
 */
const attempts = { autoSelectFamilyAttemptTimeout: 5_000 };
const disconnectWithinMs = 2_000;
/**
 * Of a PUBLISH beside topic and payload: type and length (≤ 5), length of the topic, packet
 * identifier, no properties.
 */
const publishOverheadBytes = 10;
/**
 * Of a SUBSCRIBE: type and length (≤ 5), packet identifier and no properties; of each topic: length
 * and options.
 */
const subscribeOverheadBytes = { packet: 8, topic: 3 };
/** Every broker accepts a message below this size. */
const largeBytes = 1024;

/**
 * MQTT over TCP, TLS or WebSocket by mqtt.js: one client object per connection, which never
 * reconnects or queues by itself.
 */
export class MqttTransport implements Transport {
  readonly #address: BrokerAddress;
  readonly #endpoint: Endpoint;
  readonly #clock: Pick<Clock, 'nowMs' | 'monotonicMs'>;
  /**
   * The last TLS session ticket, in memory only: resumption saves the broker most of a handshake in
   * a storm. OpenSSL does not judge the certificate again then, so the session ends with it.
   */
  #ticket: { readonly session: Buffer; readonly untilMs: number } | undefined;

  /** @throws Refusal `config-invalid` when the URL or the TLS files do not fit */
  constructor(address: BrokerAddress, clock: Pick<Clock, 'nowMs' | 'monotonicMs'> = systemClock) {
    this.#address = address;
    this.#clock = clock;
    this.#endpoint = parseBrokerUrl(address.url);
    if ((address.cert === undefined) !== (address.key === undefined)) {
      throw new Refusal(
        'config-invalid',
        'the broker needs both a client certificate and its key, or neither',
      );
    }
  }

  async connect(options: ConnectOptions): Promise<Connection> {
    options.signal?.throwIfAborted();
    const socket = await this.#openStream();
    const connection = new MqttConnection(socket, this.#address, options, this.#clock);
    const abort = () => connection.abort(new ConnectionLost('closed', 'the attempt was given up'));
    options.signal?.addEventListener('abort', abort, { once: true });
    try {
      await connection.established;
    } finally {
      options.signal?.removeEventListener('abort', abort);
    }
    return connection;
  }

  async #openStream(): Promise<Duplex> {
    const { webSocket } = this.#endpoint;
    if (webSocket === undefined) return this.#openSocket();
    const { overWebSocket } = await import('./web-socket.ts');
    return overWebSocket(webSocket, this.#openSocket());
  }

  #openSocket(): Socket {
    const { host, port, tls } = this.#endpoint;
    if (!tls) return connectTcp({ host, port, noDelay: true, ...attempts });
    const { ca, cert, key } = this.#address;
    const ticket = this.#ticket;
    const resumes = ticket !== undefined && this.#clock.nowMs() < ticket.untilMs;
    let socket: TLSSocket;
    try {
      socket = connectTls({
        ...{ host, port, ...attempts },
        servername: /^[\d.]+$|:/.test(host) ? '' : host,
        minVersion: 'TLSv1.2',
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined || key === undefined ? {} : { cert, key }),
        ...(resumes ? { session: ticket.session } : {}),
      });
    } catch (cause) {
      throw new ConnectionLost('tls', `the certificate or key cannot be used: ${messageOf(cause)}`, {
        cause,
      });
    }
    socket.setNoDelay(true);
    socket.on('session', (session) => {
      // Null on a connection that has just ended.
      const certificate = socket.getPeerCertificate() as { readonly valid_to?: string } | null;
      this.#ticket = { session, untilMs: Date.parse(certificate?.valid_to ?? '') };
    });
    return socket;
  }
}

/** The broker, or something between, closed the connection and gave no reason. */
function closedAfter(idleMs: number, keepaliveSeconds: number): ConnectionLost {
  const idle = Math.round(idleMs / 1000);
  const words =
    idle < 20
      ? ''
      : ` after ${idle} s without a packet; if that repeats, a proxy ends idle connections sooner than the keepalive of ${keepaliveSeconds} s`;
  return new ConnectionLost('closed', `the connection was closed${words}`);
}

class MqttConnection implements Connection {
  readonly established: Promise<void>;
  readonly ended: Promise<ConnectionLost>;
  readonly #client: MqttClient;
  #end: (loss: ConnectionLost) => void = () => undefined;
  /** The first thing that went wrong; later errors are its consequences. */
  #loss: ConnectionLost | undefined;
  /**
   * Maximum Packet Size of the broker (MQTT 5 §3.2.2.3.6); it ends a connection that sends more.
   */
  #takesBytes = Infinity;

  constructor(
    socket: Duplex,
    address: BrokerAddress,
    options: ConnectOptions,
    clock: Pick<Clock, 'monotonicMs'>,
  ) {
    this.ended = new Promise((resolve) => (this.#end = resolve));
    const { onDropped } = options;
    const stream = new GatedStream(
      socket,
      (topic, refusal) => onDropped?.(topic, refusal),
      options.readsMany && ((body) => options.onMessage(readPublish(body, address.version))),
    );
    // mqtt.js ignores stream errors without a `code`, so the reason is taken from the stream
    // itself.
    stream.on('error', (error) => this.#lose(lossOf(error)));
    const client = (this.#client = new MqttClient(() => stream, {
      clientId: options.clientId,
      protocolVersion: address.version,
      clean: true,
      keepalive: options.keepaliveSeconds,
      connectTimeout: connectTimeoutMs,
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false,
      // Otherwise mqtt-packet keeps 65 536 ready-made buffers, about 9 MB, to save microseconds.
      writeCache: false,
      timerVariant: 'native',
      ...(address.username === undefined ? {} : { username: address.username }),
      ...(address.password === undefined ? {} : { password: address.password }),
      ...(options.will === undefined
        ? {}
        : {
            will: {
              topic: options.will.topic,
              payload: Buffer.from(options.will.payload),
              qos: 1,
              retain: true,
            },
          }),
      ...(address.version === 5
        ? {
            properties: {
              receiveMaximum: 4,
              maximumPacketSize: announcedMaxPacketBytes,
              sessionExpiryInterval: 0,
            },
          }
        : {}),
    }));
    this.established = new Promise((resolve, reject) => {
      client.once('connect', ({ properties }) => {
        this.#takesBytes = properties?.maximumPacketSize ?? Infinity;
        resolve();
      });
      void this.ended.then(reject);
    });
    client.on('message', (topic, payload) => options.onMessage({ topic, payload }));
    let more: BrokerRemarks | undefined;
    let packetMs = clock.monotonicMs();
    client.on('packetsend', () => (packetMs = clock.monotonicMs()));
    client.on('packetreceive', (packet) => {
      packetMs = clock.monotonicMs();
      if (packet.cmd === 'connack') more = packet.properties;
    });
    client.on('error', (error) => {
      this.#lose(lossOf(error, more));
      stream.destroy();
    });
    client.on('disconnect', (packet) => {
      this.#lose(lossByBroker(packet.reasonCode ?? 0, packet.properties));
    });
    client.once('close', () => {
      // Calls the callbacks of everything unacknowledged; mqtt.js would keep them for a reconnect
      // that never happens.
      client.end(true);
      this.#end(this.#loss ?? closedAfter(clock.monotonicMs() - packetMs, options.keepaliveSeconds));
    });
  }

  mostPayloadBytes(topic: string): number {
    return this.#takesBytes - publishOverheadBytes - Buffer.byteLength(topic);
  }

  async publish({ topic, payload }: Message, { retain }: { readonly retain: boolean }): Promise<void> {
    const packetBytes = publishOverheadBytes + Buffer.byteLength(topic) + payload.length;
    this.#requireTaken(packetBytes, `the message for ${topic}`);
    await this.#acknowledged((done) =>
      this.#client.publish(topic, Buffer.from(payload), { qos: 1, retain }, (error) =>
        done(error && publishLoss(error, topic)),
      ),
    ).catch((error: unknown) => {
      throw payload.length < largeBytes
        ? error
        : this.#unacknowledged(error, `a message of ${payload.length} bytes`, 'takes messages of that size');
    });
  }

  async subscribe(topics: readonly string[], qos: Qos = 1): Promise<void> {
    const topicBytes = topics.map((topic) => subscribeOverheadBytes.topic + Buffer.byteLength(topic));
    const packetBytes = topicBytes.reduce((sum, bytes) => sum + bytes, subscribeOverheadBytes.packet);
    const more = topics.length > 1 ? ` and ${topics.length - 1} more` : '';
    const what = `the subscription to ${topics[0] ?? ''}${more}`;
    this.#requireTaken(packetBytes, what);
    await this.#acknowledged((done) =>
      this.#client.subscribe([...topics], { qos }, (error) =>
        done(error instanceof Error ? subscribeLoss(error, topics) : undefined),
      ),
    ).catch((error: unknown) => {
      throw this.#unacknowledged(
        error,
        `${what} (${packetBytes} bytes)`,
        'lets this client read that and takes packets of that size',
      );
    });
  }

  /** @throws ConnectionLost `too-large` for a packet larger than the broker announced to accept */
  #requireTaken(packetBytes: number, what: string): void {
    if (packetBytes <= this.#takesBytes) return;
    throw new ConnectionLost(
      'too-large',
      `the broker takes packets of at most ${this.#takesBytes} bytes, and ${what} needs ${packetBytes}; raise its Maximum Packet Size`,
    );
  }

  /**
   * MQTT 3.1.1 cannot report a packet that is too large or not allowed: the broker closes the
   * connection (§3.3.5, §4.8).
   */
  #unacknowledged(error: unknown, what: string, doubt: string): unknown {
    if (error !== this.#loss || this.#loss?.reason !== 'closed') return error;
    const words = `${this.#loss.message} before ${what} was acknowledged; look whether the broker ${doubt}`;
    return new ConnectionLost('closed', words, { cause: error });
  }

  async close(): Promise<void> {
    const loss = new ConnectionLost('closed', 'closed by this side');
    this.#lose(loss);
    // mqtt.js sends DISCONNECT only when everything is acknowledged, which may never happen.
    const patience = setTimeout(() => this.abort(loss), disconnectWithinMs);
    this.#client.end();
    await this.ended;
    clearTimeout(patience);
  }

  abort(loss: ConnectionLost): void {
    this.#lose(loss);
    this.#client.stream.destroy();
  }

  #lose(loss: ConnectionLost): void {
    this.#loss ??= loss;
  }

  /**
   * Runs one operation of the client to its acknowledgement; throws the loss if the connection ends
   * first.
   */
  async #acknowledged(operation: (done: (error?: Error) => void) => void): Promise<void> {
    if (!this.#client.connected) throw await this.ended;
    await new Promise<void>((resolve, reject) => {
      operation((error) => {
        if (error === undefined || (error as Error | null) === null) resolve();
        else if (error instanceof ConnectionLost) reject(error);
        else reject(this.#loss ?? lossOf(error));
      });
    });
  }
}
