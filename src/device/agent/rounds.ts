/**
 * Work that is done in rounds, one at a time. `begin` after new work ensures that a round sees it:
 * the one under way, or one more after it.
 */
export class Rounds {
  readonly #round: () => Promise<void>;
  #isWanted = false;
  #running: Promise<void> | undefined;

  /** @param round does all present work, and does not reject */
  constructor(round: () => Promise<void>) {
    this.#round = round;
  }

  /** Resolves when the rounds under way have ended; undefined when there are none. */
  get done(): Promise<void> | undefined {
    return this.#running;
  }

  begin(): void {
    this.#isWanted = true;
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    while (this.#isWanted) {
      this.#isWanted = false;
      await this.#round();
    }
    // In the same turn as the check above: no work can be added in between.
    this.#running = undefined;
  }
}
