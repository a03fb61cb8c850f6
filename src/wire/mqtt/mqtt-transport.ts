import { connect as connectTcp, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
// Only the client itself: the package's entry also loads WebSocket, SOCKS and browser code, which a device never uses.
import mqttClientModule from 'mqtt/lib/client';
import { Refusal } from '../../core/refusal/index.ts';
import { FairReader } from './fair-reader.ts';
import { PacketGate } from './packet-gate.ts';
import type { LossReason } from './loss-reason.ts';
import {
  ConnectionLost,
  type Connection,
  type ConnectOptions,
  type Message,
  type Transport,
} from './transport.ts';

// A CommonJS module with a default export: Node and bundlers give its exports, Vite gives the default itself.
const imported: unknown = mqttClientModule;
const MqttClient =
  typeof imported === 'function' ? (imported as typeof mqttClientModule.default) : mqttClientModule.default;
type MqttClient = InstanceType<typeof MqttClient>;

export interface BrokerAddress {
  /** `mqtt://host[:1883]` or `mqtts://host[:8883]` */
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

/** Larger packets are not read. Twice the largest envelope, so that `trust/` still sees and names slightly larger ones. */
const maxPacketBytes = 256 * 1024;
/** On MQTT 5 the broker keeps back what is larger than this: below, the device hears of it and can report it. */
const announcedMaxPacketBytes = 2 * 1024 * 1024;
const connectTimeoutMs = 30_000;
const disconnectWithinMs = 2_000;

/** MQTT over TCP or TLS by mqtt.js: one client object per connection, which never reconnects or queues by itself. */
export class MqttTransport implements Transport {
  readonly #address: BrokerAddress;
  readonly #endpoint: { readonly host: string; readonly port: number; readonly tls: boolean };
  /** The last TLS session ticket, in memory only: resumption saves the broker most of a handshake in a storm. */
  #ticket: Buffer | undefined;

  /** @throws Refusal `config-invalid` when the URL or the TLS files do not fit */
  constructor(address: BrokerAddress) {
    this.#address = address;
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
    const socket = this.#openSocket();
    const connection = new MqttConnection(socket, this.#address, options);
    const abort = () => connection.abort(new ConnectionLost('closed', 'the attempt was given up'));
    options.signal?.addEventListener('abort', abort, { once: true });
    try {
      await connection.established;
    } finally {
      options.signal?.removeEventListener('abort', abort);
    }
    return connection;
  }

  #openSocket(): Socket {
    const { host, port, tls } = this.#endpoint;
    if (!tls) return connectTcp({ host, port, noDelay: true });
    const { ca, cert, key } = this.#address;
    let socket: TLSSocket;
    try {
      socket = connectTls({
        host,
        port,
        servername: /^[\d.]+$|:/.test(host) ? '' : host,
        minVersion: 'TLSv1.2',
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined || key === undefined ? {} : { cert, key }),
        ...(this.#ticket === undefined ? {} : { session: this.#ticket }),
      });
    } catch (cause) {
      throw new ConnectionLost('tls', `the certificate or key cannot be used: ${messageOf(cause)}`, {
        cause,
      });
    }
    socket.setNoDelay(true);
    socket.on('session', (ticket) => (this.#ticket = ticket));
    return socket;
  }
}

/** Host and port of a broker URL. @throws Refusal `config-invalid` */
export function parseBrokerUrl(url: string): { host: string; port: number; tls: boolean } {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const tls = parsed?.protocol === 'mqtts:';
  if (parsed === undefined || (!tls && parsed.protocol !== 'mqtt:') || parsed.hostname === '') {
    throw new Refusal(
      'config-invalid',
      `the broker's address ${JSON.stringify(url)} is not mqtt://host or mqtts://host`,
    );
  }
  if (parsed.username !== '' || !['', '/'].includes(parsed.pathname) || parsed.search !== '') {
    throw new Refusal('config-invalid', `the broker's address must be a host and a port only`);
  }
  const host = parsed.hostname.replace(/^\[|\]$/g, '');
  return { host, port: parsed.port === '' ? (tls ? 8883 : 1883) : Number(parsed.port), tls };
}

class MqttConnection implements Connection {
  readonly established: Promise<void>;
  readonly ended: Promise<ConnectionLost>;
  readonly #client: MqttClient;
  #end: (loss: ConnectionLost) => void = () => undefined;
  /** The first thing that went wrong; later errors are its consequences. */
  #loss: ConnectionLost | undefined;
  /** Maximum Packet Size of the broker (MQTT 5 §3.2.2.3.6); it ends the connection of who sends more. */
  #takesBytes = Infinity;

  constructor(socket: Socket, address: BrokerAddress, options: ConnectOptions) {
    this.ended = new Promise((resolve) => (this.#end = resolve));
    const { onDropped } = options;
    const stream = new GatedStream(socket, (topic, refusal) => onDropped?.(topic, refusal));
    // mqtt.js ignores stream errors without a `code`, so the reason is taken from the stream itself.
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
    client.on('error', (error) => {
      this.#lose(lossOf(error));
      stream.destroy();
    });
    client.on('disconnect', (packet) => {
      const code = packet.reasonCode ?? 0;
      this.#lose(
        new ConnectionLost(
          reasonOf(code) ?? 'closed',
          `the broker ended the session with reason ${hex(code)}`,
        ),
      );
    });
    client.once('close', () => {
      // Answers the callbacks of everything unacknowledged; mqtt.js would keep them for a reconnect that never comes.
      client.end(true);
      this.#end(this.#loss ?? new ConnectionLost('closed', 'the connection was closed'));
    });
  }

  async publish({ topic, payload }: Message, { retain }: { readonly retain: boolean }): Promise<void> {
    const packetBytes = publishOverheadBytes + Buffer.byteLength(topic) + payload.length;
    if (packetBytes > this.#takesBytes) {
      throw new ConnectionLost(
        'too-large',
        `the broker takes packets of at most ${this.#takesBytes} bytes, and the message for ${topic} needs ${packetBytes}; raise its Maximum Packet Size`,
      );
    }
    await this.#acknowledged((done) =>
      this.#client.publish(topic, Buffer.from(payload), { qos: 1, retain }, (error) =>
        done(error && publishLoss(error, topic)),
      ),
    ).catch((error: unknown) => {
      // MQTT 3.1.1 has no words for a packet that is too large: the broker hangs up.
      if (error !== this.#loss || this.#loss?.reason !== 'closed' || payload.length < largeBytes) throw error;
      throw new ConnectionLost(
        'closed',
        `${this.#loss.message} before a message of ${payload.length} bytes was acknowledged; look whether the broker takes messages of that size`,
        { cause: error },
      );
    });
  }

  async subscribe(topics: readonly string[]): Promise<void> {
    await this.#acknowledged((done) =>
      this.#client.subscribe([...topics], { qos: 1 }, (error) =>
        done(error instanceof Error ? subscribeLoss(error, topics) : undefined),
      ),
    );
  }

  async close(): Promise<void> {
    const loss = new ConnectionLost('closed', 'closed by this side');
    this.#lose(loss);
    // mqtt.js waits for everything unacknowledged before it says goodbye, for ever if need be.
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

  /** Runs one operation of the client to its acknowledgement; afterwards or in between there is only the loss. */
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

/** The socket with the packet gate in its reading direction. */
class GatedStream extends Duplex {
  readonly #socket: Socket;
  readonly #reader: FairReader;
  /** The library has not yet taken what was passed on: nothing more is read. */
  #full = false;

  constructor(socket: Socket, dropped: (topic: string, refusal: Refusal) => void) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    const gate = new PacketGate(maxPacketBytes, {
      pass: (bytes) => {
        this.#full = !this.push(bytes);
      },
      reply: (bytes) => socket.write(bytes),
      dropped,
    });
    const source = {
      pause: () => socket.pause(),
      resume: () => (this.#full ? socket : socket.resume()),
    };
    const reader = (this.#reader = new FairReader(source, (bytes) => gate.push(bytes)));
    socket.on('data', (chunk: Buffer) => {
      reader.read(chunk).catch((error: unknown) => this.destroy(error as Error));
    });
    socket.once('end', () => void reader.idle.then(() => this.push(null)));
    socket.once('error', (error) => this.destroy(error));
    socket.once('close', () => this.destroy());
  }

  override _read(): void {
    this.#full = false;
    if (!this.#reader.busy) this.#socket.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, encoding, done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}

/** CONNACK codes of 3.1.1 (§3.2.2.3) and reason codes of MQTT 5 (§2.4) that mean more than a lost connection. */
const reasonsByCode: Readonly<Record<number, LossReason>> = {
  0x01: 'protocol',
  0x02: 'credentials',
  0x03: 'busy',
  0x04: 'credentials',
  0x05: 'credentials',
  0x81: 'protocol',
  0x82: 'protocol',
  0x84: 'protocol',
  0x85: 'credentials',
  0x86: 'credentials',
  0x87: 'credentials',
  0x88: 'busy',
  0x89: 'busy',
  0x8a: 'credentials',
  0x8b: 'busy',
  0x8c: 'credentials',
  0x8e: 'taken-over',
  0x95: 'too-large',
  0x97: 'quota',
  0x9f: 'quota',
};

/** Of a PUBLISH beside topic and payload: type and length (≤ 5), length of the topic, packet identifier, no properties. */
const publishOverheadBytes = 10;
/** A message below this size is too large for no broker. */
const largeBytes = 1024;

/** The code of a PUBACK that mqtt.js gives as an error. */
function codeOf(error: unknown): number | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : undefined;
}

/** A reason code in the words of the standard, where mqtt.js has some, and as a number. */
function wordsOf(error: unknown, code: number): string {
  const words = /: (.+)$/.exec(messageOf(error))?.[1] ?? 'undefined';
  return words === 'undefined' ? `reason ${hex(code)}` : `${words} (reason ${hex(code)})`;
}

/** A broker that does not take a message says so in the PUBACK (MQTT 5 §3.4.2.1); the connection is as good as before. */
function publishLoss(error: Error, topic: string): Error {
  const code = codeOf(error);
  if (code === undefined) return error;
  const reason = reasonOf(code) ?? 'protocol';
  const words = `the broker did not take the message for ${topic}: ${wordsOf(error, code)}`;
  return new ConnectionLost(reason, words, { cause: error });
}

/** One code for each topic stands in the SUBACK, which mqtt.js gives with its error (3.1.1 §3.9.3, MQTT 5 §3.9.3). */
function subscribeLoss(error: Error, topics: readonly string[]): Error {
  // An error of a connection that ended has the property too, and nothing in it.
  const { packet } = error as { readonly packet?: { readonly granted?: readonly number[] } };
  const granted = packet?.granted ?? [];
  const at = granted.findIndex((code) => code >= 0x80);
  const code = granted[at];
  if (code === undefined) return error;
  const words = `the broker does not let this client read ${topics[at] ?? ''}: ${wordsOf(error, code)}`;
  return new ConnectionLost('credentials', words, { cause: error });
}

function reasonOf(code: number): LossReason | undefined {
  return reasonsByCode[code];
}

/** Errors of the operating system that arise before a packet has left this device. */
const noNetwork = new Set(['ENETUNREACH', 'ENETDOWN', 'EADDRNOTAVAIL', 'EAI_AGAIN', 'EHOSTUNREACH']);
const ended = new Set(['ECONNRESET', 'EPIPE']);

function lossOf(error: unknown): ConnectionLost {
  if (error instanceof ConnectionLost) return error;
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  const detail = messageOf(error);
  if (typeof code === 'number') {
    // mqtt.js has no words for a code that is in neither version of the standard.
    const words = /^Connection refused: undefined$/.test(detail)
      ? `the broker refused the connection with the unknown code ${code}`
      : detail;
    return new ConnectionLost(reasonOf(code) ?? 'closed', words, { cause: error });
  }
  if (typeof code !== 'string') return new ConnectionLost('closed', detail, { cause: error });
  if (noNetwork.has(code)) return new ConnectionLost('no-network', detail, { cause: error });
  if (ended.has(code)) return new ConnectionLost('closed', detail, { cause: error });
  // Happy eyeballs gives an AggregateError with the code of its first member.
  if (/^E[A-Z_]+$/.test(code) && !code.startsWith('ERR_') && code !== 'EPROTO') {
    return new ConnectionLost('unreachable', detail, { cause: error });
  }
  return new ConnectionLost('tls', detail, { cause: error });
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}

function hex(code: number): string {
  return `0x${code.toString(16).padStart(2, '0')}`;
}
