/**
 * A budget: `burst` at once, then one per `refillMs`. Pure: the caller passes the time. A clock
 * that is set back takes nothing away, and one that is set forward fills the budget once at most.
 */
export class TokenBucket {
  readonly #refillMs: number;
  readonly #fullMs: number;
  /** The savings in milliseconds of refill, which are exact; fractions of a token would not be. */
  #savedMs: number;
  #atMs: number | undefined;

  constructor({ burst, refillMs }: { readonly burst: number; readonly refillMs: number }) {
    this.#refillMs = refillMs;
    this.#fullMs = burst * refillMs;
    this.#savedMs = this.#fullMs;
  }

  /** Takes one token and returns 0, or returns the milliseconds until there is one. */
  take(nowMs: number): number {
    this.#save(Math.max(0, nowMs - (this.#atMs ?? nowMs)));
    this.#atMs = nowMs;
    if (this.#savedMs < this.#refillMs) return Math.ceil(this.#refillMs - this.#savedMs);
    this.#savedMs -= this.#refillMs;
    return 0;
  }

  /** Returns a token, after it was spent on something useful. */
  refund(): void {
    this.#save(this.#refillMs);
  }

  #save(ms: number): void {
    this.#savedMs = Math.min(this.#fullMs, this.#savedMs + ms);
  }
}
