import { Refusal } from '../../core/refusal/index.ts';
import { ConnectionLost, type Message, type Qos } from '../../wire/mqtt/index.ts';
import type { HeldConnection } from './held-connection.ts';

/**
 * Mosquitto retains its version there. It delivers in the order of subscriptions, so this message
 * marks the end of the messages retained for earlier subscriptions. Other brokers deliver something
 * else, or nothing.
 */
const mark = { topic: '$SYS/broker/version', begin: 'mosquitto version' };

/** Detects the end of the retained messages, on brokers that mark it. */
export class EndMarks {
  #count = 0;

  /** Whether this broker sends marks. */
  get areGiven(): boolean {
    return this.#count > 0;
  }

  /** @returns whether the message is on the topic of marks, and so not from a device */
  receive({ topic, payload }: Message): boolean {
    if (topic !== mark.topic) return false;
    if (Buffer.from(payload).toString().startsWith(mark.begin)) this.#count += 1;
    return true;
  }

  /**
   * Requests the mark after the messages retained for the subscriptions so far.
   *
   * @param qos that of these subscriptions
   * @returns whether it has arrived; never, where this account may not read it
   */
  ask(connection: HeldConnection, qos: Qos): () => boolean {
    const before = this.#count;
    const isEnd = (): boolean => this.#count > before;
    void this.#subscribe(connection, qos, isEnd);
    return isEnd;
  }

  /**
   * Mosquitto may leave the mark in its queue, or drop it, when more messages waited for this
   * client than the network took at once. Those messages arrived before the acknowledgement, so the
   * next subscription delivers the mark.
   */
  async #subscribe(connection: HeldConnection, qos: Qos, isEnd: () => boolean): Promise<void> {
    try {
      await connection.subscribe([mark.topic], qos);
      if (!isEnd()) await connection.subscribe([mark.topic], qos);
    } catch (error) {
      // Not allowed: the caller then waits for a time instead.
      if (!(error instanceof Refusal) && !(error instanceof ConnectionLost)) throw error;
    }
  }
}
