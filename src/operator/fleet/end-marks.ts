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
   * @returns whether it has come; never, where this account may not read it
   */
  ask(connection: HeldConnection, qos: Qos): () => boolean {
    const before = this.#count;
    const isEnd = (): boolean => this.#count > before;
    void this.#subscribe(connection, qos, isEnd);
    return isEnd;
  }

  /**
   * Mosquitto may leave the mark in its queue, or drop it, when more waited for this client than
   * the network took at once; what waited came before the acknowledgement, so the next subscription
   * brings it.
   */
  async #subscribe(connection: HeldConnection, qos: Qos, isEnd: () => boolean): Promise<void> {
    try {
      await connection.subscribe([mark.topic], qos);
      if (!isEnd()) await connection.subscribe([mark.topic], qos);
    } catch (error) {
      // Not allowed: then the end is waited for.
      if (!(error instanceof Refusal) && !(error instanceof ConnectionLost)) throw error;
    }
  }
}
