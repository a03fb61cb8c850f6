/**
 * Checks whether a sender keeps a minimum rate. Only time spent waiting for the sender counts, not
 * the time in which received bytes are processed (a slow disk, a slow compressor).
 */
export class TransferRate {
  readonly #minBytesPerSecond: number;
  readonly #windowMs: number;
  #waitedMs = 0;
  #bytes = 0;

  /**
   * @param windowMs the waiting time over which the rate is measured; a shorter pause is allowed
   */
  constructor(minBytesPerSecond: number, windowMs: number) {
    this.#minBytesPerSecond = minBytesPerSecond;
    this.#windowMs = windowMs;
  }

  /**
   * Counts bytes that arrived after a wait. Returns true when the window is over and the rate was
   * too low.
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
