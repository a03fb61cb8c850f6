import type { Clock } from '../../core/ports/index.ts';

/**
 * A token bucket: how many bytes may be taken at once, as of a monotonic time. Below zero is debt.
 */
export interface Bucket {
  readonly bytes: number;
  readonly atMs: number;
}

/**
 * Takes `bytes` out of a bucket that fills at `bytesPerSecond` and holds what one second brings, so
 * that a pause of the sender is not made up for by more than that. More may be taken than is there;
 * who did must wait until the debt is paid.
 *
 * @returns the bucket then, and how long to wait from `nowMs` on
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
/** So many pieces a second at least, so that a server that is kept waiting sees its bytes go. */
const piecesPerSecond = 4;

/**
 * Keeps the bytes of a whole pull, over all its connections, below a rate. The reader waits before
 * it reads on; what it does not read fills the buffers up to the sender, which TCP then holds back.
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
   * Waits as long as `bytes` that were read are too many; not at all when they are to be paid for
   * by the next.
   */
  async take(bytes: number, payment: 'now' | 'later' = 'now'): Promise<void> {
    const taken = takeFrom(this.#bucket, bytes, this.#clock.monotonicMs(), this.#bytesPerSecond);
    this.#bucket = taken.bucket;
    if (payment === 'now' && taken.waitMs > 0) await this.#clock.sleep(taken.waitMs);
  }
}

/** How much is read at a time under a cap; 0 is none. */
export function cappedPieceBytes(bytesPerSecond: number): number {
  if (bytesPerSecond === 0) return maxPieceBytes;
  return Math.min(maxPieceBytes, Math.max(minPieceBytes, Math.floor(bytesPerSecond / piecesPerSecond)));
}
