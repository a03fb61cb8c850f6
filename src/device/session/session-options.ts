import type { Clock, Journal } from '../../core/ports/index.ts';
import type { LossReason, Transport } from '../../wire/mqtt/index.ts';
import type { KeptEvents } from './outbox.ts';
import type { ReconnectPolicy } from './reconnect-policy.ts';

export interface DeviceSessionOptions {
  readonly fleet: string;
  readonly device: string;
  /** The groups whose commands are also received; none by default. */
  readonly groups?: readonly string[];
  /** Whether requests for logs are received (`onAsk`). */
  readonly asks?: boolean;
  readonly bootId: string;
  /** MQTT client identifier; `<fleet>_<device>` by default (`clientIdentifier`). */
  readonly clientId?: string;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly journal: Journal;
  /** Where unacknowledged events outlive the process; nowhere by default. */
  readonly keptEvents?: KeptEvents;
  readonly policy?: Partial<ReconnectPolicy>;
}

export type ConnectionState =
  | { readonly up: true; readonly connection: number }
  | { readonly up: false; readonly reason: LossReason; readonly detail: string; readonly retryInMs: number };
