import { parentPort, workerData } from 'node:worker_threads';
import { Coverage } from './coverage.ts';
import { mutate, randomFrom } from './mutate.ts';
import { ask } from './target.ts';
import { targets } from './targets.ts';

/** The work of one worker: parse mutated inputs, and mutate those that reach new code. */
export interface Work {
  readonly target: string;
  readonly corpus: readonly Uint8Array[];
  readonly inputs: number;
  readonly seed: number;
  readonly maxBytes: number;
  /** Whether inputs that reached new code are mutated too, and not only the corpus. */
  readonly isGuided: boolean;
  /** For the watcher: how many inputs were started, the length of the current one, its bytes. */
  readonly present: SharedArrayBuffer;
}

export type Told =
  | { readonly kind: 'new'; readonly input: Uint8Array }
  | { readonly kind: 'found'; readonly input: Uint8Array; readonly error: string }
  | { readonly kind: 'end'; readonly facts: number };

/** Inputs per reading of the counters, which takes longer than most inputs. */
const batch = 25;

async function run(work: Work, tell: (told: Told) => void): Promise<void> {
  const target = targets[work.target];
  if (target === undefined) throw new Error(`there is no target ${work.target}`);
  const counters = new Int32Array(work.present, 0, 2);
  const shown = new Uint8Array(work.present, 8);
  const random = randomFrom(work.seed);
  const coverage = new Coverage('worker.mjs');

  const askShown = async (input: Buffer): Promise<void> => {
    shown.set(input.subarray(0, shown.length));
    Atomics.store(counters, 1, input.length);
    Atomics.add(counters, 0, 1);
    try {
      await ask(target, Buffer.from(input));
    } catch (error) {
      tell({
        kind: 'found',
        input,
        error: (error instanceof Error ? error.stack : undefined) ?? String(error),
      });
    }
  };

  await coverage.start();
  const corpus: Buffer[] = [Buffer.from(target.seed), ...work.corpus.map((input) => Buffer.from(input))];
  for (const input of corpus) await askShown(input);
  coverage.learn(await coverage.fresh());
  const given = corpus.length;
  // Most inputs that reached new code are refused early, so half the picks are from the corpus.
  const pick = () => {
    const grown = work.isGuided && random(2) === 0 ? corpus.length - given : 0;
    return corpus[grown > 0 ? given + random(grown) : random(given)] ?? Buffer.alloc(0);
  };

  for (let done = 0; done < work.inputs; done += batch) {
    const inputs = Array.from({ length: batch }, () => mutate(pick(), pick(), random, work.maxBytes));
    for (const input of inputs) await askShown(input);
    const together = await coverage.fresh();
    if (together.length === 0) continue;
    // Each input of the batch again, to find those that reached it.
    for (const input of inputs) {
      await askShown(input);
      const fresh = await coverage.fresh();
      if (fresh.length === 0) continue;
      coverage.learn(fresh);
      corpus.push(input);
      tell({ kind: 'new', input });
    }
    coverage.learn(together);
  }
  tell({ kind: 'end', facts: coverage.size });
}

await run(workerData as Work, (told) => parentPort?.postMessage(told));
