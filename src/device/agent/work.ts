/** One piece of work at a time in the background, which can be aborted. */
export class Work {
  readonly #onEnd: () => void;
  #current: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;

  /** @param onEnd called after each piece of work, with any outcome */
  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  get isUnderWay(): boolean {
    return this.#current !== undefined;
  }

  /** Resolves when the work under way has ended. */
  get done(): Promise<void> | undefined {
    return this.#current?.done;
  }

  /** Begins work. What was under way before has ended or was aborted. */
  begin(work: (signal: AbortSignal) => Promise<void>): void {
    const abort = new AbortController();
    const done = work(abort.signal).finally(() => {
      if (this.#current?.abort === abort) this.#current = undefined;
      this.#onEnd();
    });
    this.#current = { abort, done };
  }

  /** Aborts what is under way, and waits for its end. */
  async abort(reason: Error): Promise<void> {
    this.#current?.abort.abort(reason);
    await this.#current?.done;
  }

  /** Calls `next` when the work under way has ended, unless it was aborted. */
  whenDone(next: () => void): void {
    const { done, abort } = this.#current ?? {};
    void done?.then(() => {
      if (abort?.signal.aborted !== true) next();
    });
  }
}
