import { describe, expect, it } from 'vitest';
import { garbageRounds, type GarbagePorts } from '../../../src/device/agent/garbage.ts';

interface Made {
  readonly collected: number;
  readonly logged: readonly string[];
}

/** Rounds on an idle device. `collect` receives the number of the round. */
function make(
  collect: (round: number) => Promise<void>,
  over: Partial<GarbagePorts> = {},
): Made & { readonly rounds: ReturnType<typeof garbageRounds> } {
  const logged: string[] = [];
  const made = { collected: 0, logged };
  const rounds = garbageRounds({
    rest: () => Promise.resolve(),
    collect: () => collect((made.collected += 1)),
    journal: { log: (level, text) => void logged.push(`${level}: ${text}`) },
    signal: new AbortController().signal,
    ...over,
  });
  return Object.assign(made, { rounds });
}

describe('garbage', () => {
  it('is collected once more for requests that come during a collection', async () => {
    const made = make((round) => {
      if (round === 1) for (let request = 0; request < 3; request++) made.rounds.begin();
      return Promise.resolve();
    });
    made.rounds.begin();
    await made.rounds.done;
    expect(made.collected).toBe(2);
  });

  it('is collected for a request that comes while a collection ends', async () => {
    const made = make(() => Promise.resolve());
    made.rounds.begin();
    // The request is not lost in any turn of the event loop.
    for (let turns = 0; turns < 12; turns++) {
      const before = made.collected;
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      made.rounds.begin();
      await made.rounds.done;
      expect(made.collected).toBeGreaterThan(before);
    }
  });

  it('is not collected during a deployment, nor once wherryd is stopping', async () => {
    const stopping = new AbortController();
    let end = (): void => undefined;
    const rest = () => new Promise<void>((resolve) => (end = resolve));
    const made = make(() => Promise.resolve(), { rest, signal: stopping.signal });
    made.rounds.begin();
    expect(made.collected).toBe(0);
    end();
    await made.rounds.done;
    expect(made.collected).toBe(1);
    made.rounds.begin();
    stopping.abort();
    end();
    await made.rounds.done;
    expect(made.collected).toBe(1);
  });

  it('is collected again after a collection that failed', async () => {
    const made = make((round) =>
      round === 1 ? Promise.reject(new Error('the disk is gone')) : Promise.resolve(),
    );
    made.rounds.begin();
    await made.rounds.done;
    expect(made.logged).toEqual(['warning: garbage could not be collected: Error: the disk is gone']);
    made.rounds.begin();
    await made.rounds.done;
    expect(made.collected).toBe(2);
  });
});
