import type { Refusal } from '../../core/refusal/index.ts';
import type { LossReason } from './loss-reason.ts';

/**
 * A way to reach a broker. `MqttTransport` implements it with mqtt.js; tests have one without a
 * network.
 */
export interface Transport {
  /**
   * Opens one connection with a clean session. Everything about it ends with it; nothing is queued
   * or repeated.
   * @throws ConnectionLost when it cannot be established
   */
  connect(options: ConnectOptions): Promise<Connection>;
}

export interface ConnectOptions {
  readonly clientId: string;
  readonly keepaliveSeconds: number;
  /** Published by the broker (QoS 1, retained) when the connection ends without a goodbye. */
  readonly will?: Message;
  /** Called for every message; must not throw. */
  readonly onMessage: (message: Message) => void;
  /** Called with `envelope-too-large` for a message that was dropped because of its size. */
  readonly onDropped?: (topic: string, refusal: Refusal) => void;
  /**
   * Messages of QoS 0 are read here and not by mqtt.js. For a program that subscribes to those of
   * thousands of devices: they may then overtake messages of QoS 1.
   */
  readonly readsMany?: true;
  readonly signal?: AbortSignal;
}

/** How a broker delivers: 0 is at most once and 1 at least once. */
export type Qos = 0 | 1;

export interface Message {
  readonly topic: string;
  readonly payload: Uint8Array;
}

export interface Connection {
  /**
   * The longest payload that the broker announced to accept on `topic` (MQTT 5, Maximum Packet
   * Size); Infinity when it announced nothing.
   */
  mostPayloadBytes(topic: string): number;
  /** QoS 1; resolves when the broker has acknowledged it. @throws ConnectionLost */
  publish(message: Message, options: { readonly retain: boolean }): Promise<void>;
  /**
   * @param qos 1 when absent
   * @throws ConnectionLost with `credentials` when the broker does not grant it
   */
  subscribe(topics: readonly string[], qos?: Qos): Promise<void>;
  /** Resolves when the connection has ended, for whatever reason; never rejects. */
  readonly ended: Promise<ConnectionLost>;
  /** Sends DISCONNECT, so that the will is not published, and waits for the end. */
  close(): Promise<void>;
  /**
   * Ends at once, without DISCONNECT: the broker publishes the will. `ended` then resolves with
   * `loss`.
   */
  abort(loss: ConnectionLost): void;
}

/**
 * There is no connection (any more). `detail` is for the journal, `reason` decides when to try
 * again.
 */
export class ConnectionLost extends Error {
  readonly reason: LossReason;
  /** The code of the CONNACK or DISCONNECT with which the broker ended it. */
  readonly code: number | undefined;
  /** Whether this side ended it because the broker did not acknowledge something in time. */
  readonly isUnanswered: boolean;

  constructor(
    reason: LossReason,
    detail: string,
    options?: { cause?: unknown; code?: number; isUnanswered?: true },
  ) {
    super(detail, options);
    this.name = 'ConnectionLost';
    this.reason = reason;
    this.code = options?.code;
    this.isUnanswered = options?.isUnanswered === true;
  }
}
