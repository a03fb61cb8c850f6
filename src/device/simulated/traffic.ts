import {
  ConnectionLost,
  type Connection,
  type ConnectOptions,
  type Message,
  type Transport,
} from '../../wire/mqtt/index.ts';

/** The traffic of all simulated devices: messages, and bytes of topics and payloads. */
export interface Traffic {
  sentMessages: number;
  sentBytes: number;
  receivedMessages: number;
  receivedBytes: number;
  /** Connections that were tried, and those that were made. */
  attempts: number;
  connections: number;
  /** Devices that are connected now. */
  connected: number;
}

export const noTraffic = (): Traffic => ({
  sentMessages: 0,
  sentBytes: 0,
  receivedMessages: 0,
  receivedBytes: 0,
  attempts: 0,
  connections: 0,
  connected: 0,
});

/** A transport whose messages are counted and whose connection can be cut. */
export class CountedTransport implements Transport {
  readonly #transport: Transport;
  readonly #traffic: Traffic;
  #connection: Connection | undefined;

  constructor(transport: Transport, traffic: Traffic) {
    this.#transport = transport;
    this.#traffic = traffic;
  }

  async connect(options: ConnectOptions): Promise<Connection> {
    const traffic = this.#traffic;
    traffic.attempts += 1;
    const connection = await this.#transport.connect({
      ...options,
      onMessage: (message) => {
        traffic.receivedMessages += 1;
        traffic.receivedBytes += sizeOf(message);
        options.onMessage(message);
      },
    });
    traffic.connections += 1;
    traffic.connected += 1;
    this.#connection = connection;
    void connection.ended.then(() => (traffic.connected -= 1));
    return {
      mostPayloadBytes: (topic) => connection.mostPayloadBytes(topic),
      publish(message, how) {
        traffic.sentMessages += 1;
        traffic.sentBytes += sizeOf(message);
        return connection.publish(message, how);
      },
      subscribe: (topics) => connection.subscribe(topics),
      ended: connection.ended,
      close: () => connection.close(),
      abort: (loss) => connection.abort(loss),
    };
  }

  /** Ends the connection without DISCONNECT, as an outage of the network does. */
  cut(): void {
    this.#connection?.abort(new ConnectionLost('closed', 'the simulated network went away'));
  }
}

function sizeOf({ topic, payload }: Message): number {
  return Buffer.byteLength(topic) + payload.length;
}
