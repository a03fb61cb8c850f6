import type { Clock } from '../../core/ports/index.ts';

/** A token bucket: how many bytes may be taken at a monotonic time. A negative number is a debt. */
export interface Bucket {
  readonly bytes: number;
  readonly atMs: number;
}

/**
 * Takes `bytes` out of a bucket that fills at `bytesPerSecond` and holds at most the bytes of one
 * second, which bounds the burst after a pause of the sender. More may be taken than the bucket
 * holds; the caller must then wait until the debt is paid.
 *
 * @returns the new bucket, and how long to wait from `nowMs` on
 */
export function takeFrom(
  bucket: Bucket,
  bytes: number,
  nowMs: number,
  bytesPerSecond: number,
): { readonly bucket: Bucket; readonly waitMs: number } {
  const filled = Math.min(bytesPerSecond, bucket.bytes + ((nowMs - bucket.atMs) * bytesPerSecond) / 1000);
  const left = filled - bytes;
  return {
    bucket: { bytes: left, atMs: nowMs },
    waitMs: left < 0 ? Math.ceil((-left * 1000) / bytesPerSecond) : 0,
  };
}

const minPieceBytes = 1024;
const maxPieceBytes = 256 * 1024;
/** The least number of pieces per second, so that a throttled server still sees progress. */
const piecesPerSecond = 4;

/**
 * Limits the rate of a whole pull, over all its connections. The reader waits before it continues;
 * unread bytes fill the buffers, and TCP then slows the sender.
 */
export class BandwidthCap {
  readonly #bytesPerSecond: number;
  readonly #clock: Clock;
  #bucket: Bucket;

  /** @param bytesPerSecond above 0 */
  constructor(bytesPerSecond: number, clock: Clock) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#clock = clock;
    this.#bucket = { bytes: 0, atMs: clock.monotonicMs() };
  }

  /** How much is to be read at a time. */
  get pieceBytes(): number {
    return cappedPieceBytes(this.#bytesPerSecond);
  }

  /**
   * Accounts for `bytes` that were read and waits until the debt is paid; with `later`, the next
   * call waits for it.
   */
  async take(bytes: number, payment: 'now' | 'later' = 'now'): Promise<void> {
    const taken = takeFrom(this.#bucket, bytes, this.#clock.monotonicMs(), this.#bytesPerSecond);
    this.#bucket = taken.bucket;
    if (payment === 'now' && taken.waitMs > 0) await this.#clock.sleep(taken.waitMs);
  }
}

/** How many bytes are read at a time under a cap; 0 means no cap. */
export function cappedPieceBytes(bytesPerSecond: number): number {
  if (bytesPerSecond === 0) return maxPieceBytes;
  return Math.min(maxPieceBytes, Math.max(minPieceBytes, Math.floor(bytesPerSecond / piecesPerSecond)));
}
