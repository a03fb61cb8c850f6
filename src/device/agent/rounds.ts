/**
 * Work that is done in rounds, one at a time. Whoever has put down something new calls `begin`: it
 * is seen by the round under way or by one more after it, however late it came.
 */
export class Rounds {
  readonly #round: () => Promise<void>;
  #isWanted = false;
  #running: Promise<void> | undefined;

  /** @param round does all that there is to do, and does not reject */
  constructor(round: () => Promise<void>) {
    this.#round = round;
  }

  /** Resolves when nothing is under way any more; undefined when nothing is. */
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
    // In the same turn as the look above: nothing can be put down in between.
    this.#running = undefined;
  }
}
