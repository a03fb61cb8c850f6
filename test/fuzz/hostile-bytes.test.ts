import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readCorpus } from './corpus.ts';
import { ask } from './target.ts';
import { targets } from './targets.ts';

/**
 * Every parser of untrusted bytes gets damaged forms of valid inputs: it must return a result or
 * throw its expected error. `WHERRY_FUZZ_RUNS` is the number of inputs (300). A failure prints the
 * seed that repeats it. `npm run fuzz` searches for inputs that reach new code; corpus/ has those
 * that it found.
 */
const numRuns = Number(process.env['WHERRY_FUZZ_RUNS'] ?? 300);

/**
 * `seed` with some bytes replaced, removed or inserted; one in ten has nothing to do with it.
 */
function damaged(seed: Uint8Array): fc.Arbitrary<Buffer> {
  const at = fc.nat(Math.max(seed.length, 1) - 1);
  const edit = fc.oneof(
    fc.record({ at, cut: fc.nat(16), put: fc.uint8Array({ maxLength: 8 }) }),
    fc.record({
      at,
      cut: fc.constant(0),
      put: fc.constantFrom(...[0, 0x22, 0x5c, 0x7b, 0x80, 0xff].map((byte) => Uint8Array.of(byte))),
    }),
    fc.record({ at, cut: fc.constant(seed.length), put: fc.constant(new Uint8Array()) }),
  );
  const edited = fc
    .array(edit, { minLength: 1, maxLength: 6 })
    .map((edits) =>
      edits.reduce<Buffer>(
        (bytes, { at: from, cut, put }) =>
          Buffer.concat([bytes.subarray(0, from), put, bytes.subarray(from + cut)]),
        Buffer.from(seed),
      ),
    );
  const strange = fc.uint8Array({ maxLength: 2048 }).map((bytes) => Buffer.from(bytes));
  return fc.oneof({ weight: 9, arbitrary: edited }, { weight: 1, arbitrary: strange });
}

describe('damaged bytes are read or refused as', () => {
  it.each(Object.entries(targets))(
    '%s',
    async (name, target) => {
      const whole = fc.constantFrom(Buffer.from(target.seed), ...readCorpus(name));
      await fc.assert(
        fc.asyncProperty(whole.chain(damaged), (bytes) => ask(target, bytes)),
        { numRuns: Math.ceil(numRuns / (target.share ?? 1)) },
      );
    },
    600_000,
  );
});

describe('inputs that once reached new code are read or refused as', () => {
  it.each(Object.entries(targets))('%s', async (name, target) => {
    const corpus = readCorpus(name);
    expect(corpus).not.toEqual([]);
    for (const input of corpus) await ask(target, input);
  });
});
