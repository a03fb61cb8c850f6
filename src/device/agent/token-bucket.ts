/**
 * A budget: `burst` at once, then one per `refillMs`. Pure: the caller gives the time. A clock that
 * jumps forward grants at most one burst, one that jumps back grants nothing.
 */
export class TokenBucket {
  readonly #refillMs: number;
  readonly #fullMs: number;
  /**
   * What has been saved up, in milliseconds of refill: exact where a share of a token would not be.
   */
  #savedMs: number;
  #atMs: number | undefined;

  constructor({ burst, refillMs }: { readonly burst: number; readonly refillMs: number }) {
    this.#refillMs = refillMs;
    this.#fullMs = burst * refillMs;
    this.#savedMs = this.#fullMs;
  }

  /**
   * Takes one token and returns 0, or returns how many milliseconds it takes until there is one.
   */
  take(nowMs: number): number {
    this.#save(Math.max(0, nowMs - (this.#atMs ?? nowMs)));
    this.#atMs = nowMs;
    if (this.#savedMs < this.#refillMs) return Math.ceil(this.#refillMs - this.#savedMs);
    this.#savedMs -= this.#refillMs;
    return 0;
  }

  /** Gives a token back: what it was taken for proved to be worth it. */
  refund(): void {
    this.#save(this.#refillMs);
  }

  #save(ms: number): void {
    this.#savedMs = Math.min(this.#fullMs, this.#savedMs + ms);
  }
}
