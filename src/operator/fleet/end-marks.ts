import { Refusal } from '../../core/refusal/index.ts';
import { ConnectionLost, type Message, type Qos } from '../../wire/mqtt/index.ts';
import type { HeldConnection } from './held-connection.ts';

/**
 * Mosquitto retains its version there. It delivers in the order of subscriptions, so after others
 * this message marks the end of what is retained for them. Other brokers bring something else, or
 * nothing.
 */
const mark = { topic: '$SYS/broker/version', begin: 'mosquitto version' };

/** Where what a broker retained ends, as far as it lets that be known. */
export class EndMarks {
  #count = 0;

  /** Whether this broker gives marks. */
  get areGiven(): boolean {
    return this.#count > 0;
  }

  /** @returns whether the message is on the topic of marks, and so of no device */
  receive({ topic, payload }: Message): boolean {
    if (topic !== mark.topic) return false;
    if (Buffer.from(payload).toString().startsWith(mark.begin)) this.#count += 1;
    return true;
  }

  /**
   * Asks for the mark after what is retained for the subscriptions so far.
   *
   * @param qos that of these subscriptions
   * @returns whether it has come
   */
  async ask(connection: HeldConnection, qos: Qos): Promise<() => boolean> {
    const before = this.#count;
    try {
      await connection.subscribe([mark.topic], qos);
    } catch (error) {
      // Not allowed: then the end is waited for.
      if (!(error instanceof Refusal) && !(error instanceof ConnectionLost)) throw error;
    }
    return () => this.#count > before;
  }
}
