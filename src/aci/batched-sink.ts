import type { Writable } from 'node:stream';

import { Refusal } from '../refusal/index.ts';
import type { ByteSink } from './tar-writer.ts';

const BATCH = 64 * 1024;

/** From this size on a piece is passed on without a copy. */
const LARGE = 16 * 1024;

/**
 * Writes to a stream in large pieces, because each write to a pipe is a system call and a tar of small files is mostly
 * headers. Waits where the stream asks to; a stream that breaks is a refusal.
 */
export class BatchedSink implements ByteSink {
  readonly #stream: Writable;
  readonly #what: string;
  #batch = Buffer.allocUnsafeSlow(BATCH);
  #filled = 0;
  #failure: unknown;
  #isBroken = false;
  #wake: () => void = () => undefined;

  /** @param what - names the consumer in the refusal, for example "the consumer of the canonical tar" */
  constructor(stream: Writable, what: string) {
    this.#stream = stream;
    this.#what = what;
    stream.on('drain', () => this.#wake());
    stream.on('error', (error) => this.#break(error));
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

  /** Writes what is left, ends the stream and waits until it has taken everything. */
  async end(): Promise<void> {
    await this.#flush();
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#stream.once('finish', resolve);
      if (this.#isBroken) resolve();
      else this.#stream.end();
    });
    if (!this.#stream.writableFinished) throw this.#refusal();
  }

  /** Gives the stream up, so that its consumer cannot take what it has for the whole. */
  destroy(): void {
    this.#stream.destroy();
  }

  async #flush(): Promise<void> {
    if (this.#filled === 0) return;
    const full = this.#batch.subarray(0, this.#filled);
    this.#batch = Buffer.allocUnsafeSlow(BATCH); // the stream keeps the old one until it is written
    this.#filled = 0;
    await this.#pass(full);
  }

  async #pass(bytes: Buffer): Promise<void> {
    if (this.#isBroken) throw this.#refusal();
    if (this.#stream.write(bytes)) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    // A stream that was destroyed takes no more, and says so only by 'close'.
    if (this.#stream.destroyed) throw this.#refusal();
  }

  #break(error: unknown): void {
    this.#isBroken = true;
    this.#failure ??= error;
    this.#wake();
  }

  #refusal(): Refusal {
    return new Refusal('image-build-failed', `${this.#what} takes no more bytes.`, { cause: this.#failure });
  }
}
