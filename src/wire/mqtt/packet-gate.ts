import { Refusal } from '../../core/refusal/index.ts';
import { ConnectionLost } from './transport.ts';

/**
 * A filter between the socket and the MQTT library, which would collect a packet of up to 256 MiB
 * in memory before it parses it. It reads only fixed headers (MQTT 3.1.1 §2.2, MQTT 5 §2.1), passes
 * packets below the limit unchanged, and drops an oversize PUBLISH without storing it. Pure: chunks
 * in, chunks out.
 */
export interface GateHandlers {
  /** Bytes for the library. */
  readonly pass: (bytes: Buffer) => void;
  /**
   * Bytes for the broker: the acknowledgement of a dropped message, or it would stay in flight and
   * block others.
   */
  readonly reply: (bytes: Buffer) => void;
  readonly dropped: (topic: string, refusal: Refusal) => void;
  /**
   * The body of a PUBLISH of QoS 0, which needs no answer. Absent: the library reads these, too,
   * which costs several times as much.
   */
  readonly unanswered?: ((body: Buffer) => void) | undefined;
}

const publish = 3;
/**
 * wherry's topic names stay below 160 bytes; of a longer one the beginning is enough for the
 * journal.
 */
const keptBytes = 512;

/** Whether a packet that begins with this byte is a PUBLISH of QoS 0 (MQTT 3.1.1 §3.3.1). */
const isUnanswered = (first: number): boolean => first >> 4 === publish && (first & 0x06) === 0;

interface Dropping {
  readonly flags: number;
  readonly sizeBytes: number;
  /** The beginning of the packet: topic and packet identifier. */
  head: Buffer;
}

export class PacketGate {
  readonly #maxBytes: number;
  readonly #handlers: GateHandlers;
  /** The part of the fixed header received so far. */
  #header: number[] = [];
  /** Bytes of the current packet's body that are still to come. */
  #remaining = 0;
  /** Set while a packet is being dropped. */
  #dropping: Dropping | undefined;
  /** Set while a PUBLISH of QoS 0 is being collected from several chunks: what it has so far. */
  #collecting: Buffer[] | undefined;

  /** @param maxBytes the largest packet that passes, fixed header not counted */
  constructor(maxBytes: number, handlers: GateHandlers) {
    this.#maxBytes = maxBytes;
    this.#handlers = handlers;
  }

  /**
   * @throws ConnectionLost `protocol` when the stream is not MQTT, or contains what this client did
   *   not request
   */
  push(chunk: Buffer): void {
    // The range to pass on next, in pieces as long as possible: each piece is costly in the
    // library.
    let from = 0;
    let to = 0;
    const passOn = (next: number): void => {
      if (to > from) this.#handlers.pass(chunk.subarray(from, to));
      from = to = next;
    };
    try {
      let at = 0;
      while (at < chunk.length) {
        if (this.#remaining === 0) {
          const end = this.#header.length === 0 ? this.#whole(chunk, at) : at;
          if (end > at) {
            passOn((at = end));
            continue;
          }
          this.#header.push(chunk[at++] ?? 0);
          if (!this.#headerComplete()) continue;
          const isOfThisChunk = this.#header.length <= at;
          if (this.#dropping !== undefined || this.#collecting !== undefined) passOn(at);
          else if (isOfThisChunk) to = at;
          else {
            this.#handlers.pass(Buffer.from(this.#header));
            passOn(at);
          }
          this.#header = [];
          continue;
        }
        const body = chunk.subarray(at, at + this.#remaining);
        at += body.length;
        this.#remaining -= body.length;
        if (this.#dropping !== undefined) {
          passOn(at);
          this.#drop(this.#dropping, body);
        } else if (this.#collecting !== undefined) {
          passOn(at);
          this.#collect(this.#collecting, body);
        } else to = at;
      }
    } finally {
      passOn(chunk.length);
    }
  }

  /**
   * Delivers the PUBLISH of QoS 0 that begins at `start` and ends within the chunk.
   * @returns where it ends; `start` when there is none
   */
  #whole(chunk: Buffer, start: number): number {
    const { unanswered } = this.#handlers;
    if (unanswered === undefined || !isUnanswered(chunk[start] ?? 0)) return start;
    let sizeBytes = 0;
    for (let at = start + 1, factor = 1; factor <= 128 ** 3; factor *= 128) {
      const byte = chunk[at++] ?? 0x80;
      sizeBytes += (byte & 0x7f) * factor;
      if ((byte & 0x80) !== 0) continue;
      const end = at + sizeBytes;
      if (sizeBytes === 0 || sizeBytes > this.#maxBytes || end > chunk.length) return start;
      unanswered(chunk.subarray(at, end));
      return end;
    }
    return start;
  }

  #collect(parts: Buffer[], body: Buffer): void {
    parts.push(body);
    if (this.#remaining > 0) return;
    this.#collecting = undefined;
    this.#handlers.unanswered?.(Buffer.concat(parts));
  }

  /** Reads the remaining length and decides whether the packet is passed, dropped or refused. */
  #headerComplete(): boolean {
    const [first = 0, ...length] = this.#header;
    const last = length.at(-1);
    if (last === undefined) return false;
    if ((last & 0x80) !== 0) {
      if (length.length < 4) return false;
      throw new ConnectionLost('protocol', 'the broker sent a packet with a malformed length');
    }
    const sizeBytes = length.reduce((sum, byte, index) => sum + (byte & 0x7f) * 128 ** index, 0);
    const isPublish = first >> 4 === publish;
    if (isPublish && (first & 0x06) > 0x02) {
      const qos = (first & 0x06) >> 1;
      const wrong = qos === 2 ? 'which was not requested' : 'which MQTT does not have';
      throw new ConnectionLost('protocol', `the broker sent a message with QoS ${qos}, ${wrong}`);
    }
    this.#remaining = sizeBytes;
    const isDelivered = this.#handlers.unanswered !== undefined && isUnanswered(first) && sizeBytes > 0;
    if (isDelivered && sizeBytes <= this.#maxBytes) this.#collecting = [];
    if (sizeBytes > this.#maxBytes) {
      if (!isPublish) throw new ConnectionLost('protocol', `the broker sent a packet of ${sizeBytes} bytes`);
      this.#dropping = { flags: first & 0x0f, sizeBytes, head: Buffer.alloc(0) };
    }
    return true;
  }

  #drop(dropping: Dropping, body: Buffer): void {
    if (dropping.head.length < keptBytes) {
      dropping.head = Buffer.concat([dropping.head, body.subarray(0, keptBytes - dropping.head.length)]);
    }
    if (this.#remaining > 0) return;
    this.#dropping = undefined;
    const topicLength = dropping.head.readUInt16BE(0);
    const topicEnd = 2 + topicLength;
    if ((dropping.flags & 0x06) === 0x02) {
      if (topicEnd + 2 > dropping.head.length) {
        throw new ConnectionLost('protocol', 'the broker sent a message on a topic without a subscription');
      }
      // PUBACK with the message's packet identifier; reads the same in 3.1.1 and 5.
      this.#handlers.reply(
        Buffer.from([0x40, 2, dropping.head[topicEnd] ?? 0, dropping.head[topicEnd + 1] ?? 0]),
      );
    }
    const topic = dropping.head.toString('utf8', 2, topicEnd);
    this.#handlers.dropped(
      topic,
      new Refusal(
        'envelope-too-large',
        `a message of ${dropping.sizeBytes} bytes on ${topic} was dropped: at most ${this.#maxBytes} bytes are read`,
      ),
    );
  }
}
