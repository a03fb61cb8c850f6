import { Duplex } from 'node:stream';
import type { Refusal } from '../../core/refusal/index.ts';
import { notMqtt } from './broker-losses.ts';
import { FairReader } from './fair-reader.ts';
import { PacketGate } from './packet-gate.ts';

/**
 * Larger packets are not read. Twice the largest envelope, so that `trust/` still sees and names
 * slightly larger ones.
 */
const maxPacketBytes = 256 * 1024;

/** The first byte of a CONNACK. */
const connack = 0x20;

/** The socket with the packet gate in its reading direction. */
export class GatedStream extends Duplex {
  readonly #socket: Duplex;
  readonly #reader: FairReader;
  /** The library has not consumed the bytes passed on: nothing more is read. */
  #full = false;

  /** @param unanswered as that of the gate */
  constructor(
    socket: Duplex,
    dropped: (topic: string, refusal: Refusal) => void,
    unanswered?: (body: Buffer) => void,
  ) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    const gate = new PacketGate(maxPacketBytes, {
      pass: (bytes) => {
        this.#full = !this.push(bytes);
      },
      reply: (bytes) => socket.write(bytes),
      dropped,
      unanswered,
    });
    const source = {
      pause: () => socket.pause(),
      resume: () => (this.#full ? socket : socket.resume()),
    };
    const reader = (this.#reader = new FairReader(source, (bytes) => gate.push(bytes)));
    let isMqtt = false;
    socket.on('data', (chunk: Buffer) => {
      if (!isMqtt && chunk[0] !== connack) {
        this.destroy(notMqtt(chunk));
        return;
      }
      isMqtt = true;
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

  /** The library writes a packet in many parts; written separately, each would be a TCP packet. */
  override _writev(parts: readonly { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#socket.write(Buffer.concat(parts.map(({ chunk }) => chunk)), done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}
