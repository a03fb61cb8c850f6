import type { Writable } from 'node:stream';

import { Refusal } from '../../core/refusal/index.ts';
import type { ByteSink } from './tar-writer.ts';

const BATCH = 256 * 1024;

/** From this size on a piece is passed on without a copy. */
const LARGE = 128 * 1024;

/**
 * Writes to a stream in large pieces, because each write costs far more than the copy that saves
 * it. While the stream writes one piece, the next is filled. A stream that breaks is a refusal.
 *
 * Two buffers in turn are enough for a file or a pipe, which no longer need the bytes when they
 * call back. A stream that passes chunks on, such as a PassThrough, calls back while the next
 * stream still uses them, and needs a new buffer for each piece.
 */
export class BatchedSink implements ByteSink {
  readonly #stream: Writable;
  readonly #what: string;
  #batch: Buffer = Buffer.allocUnsafeSlow(BATCH);
  #filled = 0;
  /** The previous batch, which the stream may still hold. */
  #held: Buffer | undefined;
  #written: Promise<void> = Promise.resolve();
  #failure: unknown;
  #isBroken = false;
  #giveUp: () => void = () => undefined;

  readonly #batches: 'in turn' | 'new';

  /**
   * @param what - names the consumer in the refusal, for example "the consumer of the canonical
   *   tar"
   */
  constructor(stream: Writable, what: string, batches: 'in turn' | 'new' = 'new') {
    this.#stream = stream;
    this.#what = what;
    this.#batches = batches;
    stream.on('error', (error) => this.#break(error));
    // A stream that was destroyed emits only 'close'.
    stream.on('close', () => this.#break(undefined));
  }

  async write(bytes: Buffer): Promise<void> {
    if (bytes.length >= LARGE) {
      await this.#flush();
      await this.#pass(bytes);
      return;
    }
    let at = 0;
    while (at < bytes.length) {
      const length = bytes.copy(this.#batch, this.#filled, at);
      this.#filled += length;
      at += length;
      if (this.#filled === BATCH) await this.#flush();
    }
  }

  /** Writes the rest, ends the stream and waits until it has written everything. */
  async end(): Promise<void> {
    await this.#flush();
    await this.#written;
    await new Promise<void>((resolve) => {
      this.#giveUp = resolve;
      this.#stream.once('finish', resolve);
      if (this.#isBroken) resolve();
      else this.#stream.end();
    });
    if (!this.#stream.writableFinished) throw this.#refusal();
  }

  /** Destroys the stream, so that its consumer cannot mistake a part for the whole. */
  destroy(): void {
    this.#stream.destroy();
  }

  async #flush(): Promise<void> {
    if (this.#filled === 0) return;
    await this.#pass(this.#batch.subarray(0, this.#filled));
    const next = this.#batches === 'in turn' ? this.#held : undefined;
    this.#held = this.#batch;
    this.#batch = next ?? Buffer.allocUnsafeSlow(BATCH);
    this.#filled = 0;
  }

  /** Returns when the piece before is written. */
  async #pass(bytes: Buffer): Promise<void> {
    await this.#written;
    this.#written = new Promise((resolve, reject) => {
      this.#giveUp = () => reject(this.#refusal());
      if (this.#isBroken) this.#giveUp();
      else this.#stream.write(bytes, (error) => (error ? this.#break(error) : resolve()));
    });
    this.#written.catch(() => undefined); // reported by the next call
  }

  #break(error: unknown): void {
    this.#isBroken = true;
    this.#failure ??= error;
    this.#giveUp();
  }

  #refusal(): Refusal {
    return new Refusal('image-build-failed', `${this.#what} takes no more bytes`, { cause: this.#failure });
  }
}
