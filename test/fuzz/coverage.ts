import { Session, type Profiler } from 'node:inspector';

type Block = Profiler.CoverageRange;

/**
 * Which code of a script has run, by V8's counters (Chrome DevTools Protocol,
 * Profiler.takePreciseCoverage with `detailed`). For a function that ran, V8 reports the blocks
 * that did not run. Each block yields two facts, skipped once and run once, because either is a
 * new path through the function.
 */
export class Coverage {
  readonly #session = new Session();
  readonly #script: string;
  /** Per function, by its place: the blocks that were skipped at least once. */
  readonly #skippable = new Map<string, Map<string, Block>>();
  readonly #facts = new Set<string>();

  /** @param script the end of the script's address */
  constructor(script: string) {
    this.#script = script;
  }

  async start(): Promise<void> {
    this.#session.connect();
    await this.#post('Profiler.enable');
    await this.#post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    await this.#taken(); // what ran while the script was loaded
  }

  get size(): number {
    return this.#facts.size;
  }

  /** The unknown facts since the last call; `learn` makes them known. */
  async fresh(): Promise<readonly string[]> {
    const fresh = new Set<string>();
    for (const { ranges } of await this.#taken()) {
      const [whole, ...inner] = ranges;
      if (whole === undefined || whole.count === 0) continue;
      const name = placeOf(whole);
      const skipped = inner.filter(({ count }) => count === 0);
      const skippable = this.#skippable.get(name) ?? new Map<string, Block>();
      this.#skippable.set(name, skippable);
      for (const block of skipped) skippable.set(placeOf(block), block);
      const facts = [name];
      for (const [place, block] of skippable) {
        const isSkipped = skipped.some(
          ({ startOffset, endOffset }) => startOffset <= block.startOffset && block.endOffset <= endOffset,
        );
        facts.push(`${name} ${isSkipped ? '-' : '+'}${place}`);
      }
      for (const fact of facts) if (!this.#facts.has(fact)) fresh.add(fact);
    }
    return [...fresh];
  }

  learn(facts: readonly string[]): void {
    for (const fact of facts) this.#facts.add(fact);
  }

  async #taken(): Promise<readonly Profiler.FunctionCoverage[]> {
    const { result } = await this.#post<Profiler.TakePreciseCoverageReturnType>(
      'Profiler.takePreciseCoverage',
    );
    return result.filter(({ url }) => url.endsWith(this.#script)).flatMap(({ functions }) => functions);
  }

  #post<T>(method: string, params: object = {}): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#session.post(method, params, (error, result) => {
        if (error === null) resolve(result as T);
        else reject(new Error(error.message));
      });
    });
  }
}

function placeOf({ startOffset, endOffset }: Block): string {
  return `${startOffset}-${endOffset}`;
}
