/** Reads a stream of bytes in pieces of a given length. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #left: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The next bytes; fewer when there are no more. All of them are held in memory. */
  async read(sizeBytes: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for await (const part of this.pass(sizeBytes)) parts.push(part);
    return Buffer.concat(parts);
  }

  /** The next bytes as they arrive; fewer at the end. */
  async *pass(sizeBytes: number): AsyncGenerator<Buffer, void> {
    for (let missing = sizeBytes; missing > 0;) {
      if (this.#left.length === 0) {
        const next = await this.#source.next();
        if (next.done === true) return;
        const { value } = next;
        this.#left = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
        continue;
      }
      const part = this.#left.subarray(0, missing);
      this.#left = this.#left.subarray(part.length);
      missing -= part.length;
      yield part;
    }
  }

  /** Releases the source. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }
}
