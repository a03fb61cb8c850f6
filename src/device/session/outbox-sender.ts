import type { Clock, Journal } from '../../core/ports/index.ts';
import { type Connection, ConnectionLost } from '../../wire/mqtt/index.ts';
import { type DeviceTopics, encodeReport } from '../../wire/report/index.ts';
import type { Outbox, Outgoing } from './outbox.ts';
import { publishAcknowledged } from './publish-acknowledged.ts';

interface SenderParts {
  readonly clock: Clock;
  readonly journal: Journal;
  readonly topics: DeviceTopics;
  readonly outbox: Outbox;
}

/**
 * Publishes what is in the outbox, one message at a time: a slow link coalesces reports instead of
 * queueing them.
 */
export class OutboxSender {
  readonly #parts: SenderParts;
  #connection: Connection | undefined;
  #sending = false;

  constructor(parts: SenderParts) {
    this.#parts = parts;
  }

  get hasUnsent(): boolean {
    return this.#sending || this.#parts.outbox.next() !== undefined;
  }

  /** A connection has begun, or has ended. */
  over(connection: Connection | undefined): void {
    this.#connection = connection;
    if (connection === undefined) return;
    this.#parts.outbox.begin();
    void this.send();
  }

  async send(): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined || this.#sending) return;
    this.#sending = true;
    try {
      while (this.#connection === connection) {
        const outgoing = this.#parts.outbox.next();
        if (outgoing === undefined) return;
        await this.#publish(connection, outgoing);
      }
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      connection.abort(error);
    } finally {
      this.#sending = false;
      // The next connection may have begun while this loop was still busy, before it noticed the
      // loss.
      if (this.#connection !== undefined && this.#connection !== connection) void this.send();
    }
  }

  async #publish(connection: Connection, outgoing: Outgoing): Promise<void> {
    const { clock, journal, topics, outbox } = this.#parts;
    if (outgoing.kind === 'event') {
      const { of, payload } = outgoing;
      await publishAcknowledged({ clock, connection }, { topic: topics.event, payload }, false);
      outbox.acknowledge(of, payload);
      journal.log('debug', `event for ${of} acknowledged`);
    } else if (outgoing.kind === 'telemetry') {
      outbox.telemetryIsSent();
      await this.#publishNumbers(connection, outgoing.payload);
    } else {
      outbox.reportIsSent();
      const topic = topics.reported;
      const payload = encodeReport(outgoing.report, connection.mostPayloadBytes(topic));
      await publishAcknowledged({ clock, connection }, { topic, payload }, true);
      journal.log('debug', `report of ${payload.length} bytes acknowledged`);
    }
  }

  /** A broker that refuses this topic does not end the connection. */
  async #publishNumbers(connection: Connection, payload: Uint8Array): Promise<void> {
    const { clock, journal, topics } = this.#parts;
    const message = { topic: topics.telemetry, payload };
    await publishAcknowledged({ clock, connection }, message, true).catch((error: unknown) => {
      if (!(error instanceof ConnectionLost) || error.reason !== 'credentials') throw error;
      journal.log('warning', `telemetry was refused: ${error.message}`, { WHERRY_CODE: 'broker-refused' });
    });
  }
}
