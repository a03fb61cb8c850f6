import type { Readable } from 'node:stream';

/**
 * Reads a body in large pieces, however small those of the network are: on a slow processor a
 * download costs work per piece, not per byte. When the body breaks, the received bytes are
 * delivered before the error.
 */
export class BodyPieces {
  readonly #body: Readable;
  readonly #pieceBytes: number;
  #delivered = 0;
  #error: Error | undefined;
  #closed = false;
  #wake: () => void = () => undefined;

  /** @param pieceBytes at most the high-water mark of `body` */
  constructor(body: Readable, pieceBytes: number) {
    this.#body = body;
    this.#pieceBytes = pieceBytes;
    body.on('readable', () => this.#wake());
    body.on('end', () => this.#wake());
    body.on('error', (error) => {
      this.#error = error;
      this.#wake();
    });
    body.on('close', () => {
      this.#closed = true;
      this.#wake();
    });
  }

  /** How many bytes have arrived, delivered or not. */
  get arrivedBytes(): number {
    return this.#delivered + this.#body.readableLength;
  }

  /** The next piece; undefined at the end. Throws the body's error. */
  async next(): Promise<Buffer | undefined> {
    for (;;) {
      const isOver = this.#error !== undefined || this.#closed;
      const piece = (isOver ? this.#body.read() : this.#body.read(this.#pieceBytes)) as Buffer | null;
      if (piece !== null) {
        this.#delivered += piece.length;
        return piece;
      }
      if (this.#error !== undefined) throw this.#error;
      if (this.#body.readableEnded) return undefined;
      if (this.#closed) throw new Error('the connection was closed');
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
