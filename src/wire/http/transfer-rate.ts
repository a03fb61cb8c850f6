/**
 * Whether a sender keeps up a minimum rate. Only time spent waiting for the sender counts: while we
 * are busy with the bytes we have (a slow disk, a slow compressor) the sender owes nothing.
 */
export class TransferRate {
  readonly #minBytesPerSecond: number;
  readonly #windowMs: number;
  #waitedMs = 0;
  #bytes = 0;

  /**
   * @param windowMs how much waiting is looked at together; a pause shorter than this is forgiven
   */
  constructor(minBytesPerSecond: number, windowMs: number) {
    this.#minBytesPerSecond = minBytesPerSecond;
    this.#windowMs = windowMs;
  }

  /**
   * Counts what came after a wait. Returns true when the window is over and the rate was too low.
   */
  arrived(bytes: number, waitedMs: number): boolean {
    this.#bytes += bytes;
    this.#waitedMs += waitedMs;
    if (this.#waitedMs < this.#windowMs) return false;
    const tooSlow = this.#bytes * 1000 < this.#minBytesPerSecond * this.#waitedMs;
    this.#waitedMs = 0;
    this.#bytes = 0;
    return tooSlow;
  }
}
