import { describe, expect, it } from 'vitest';
import { readArguments } from './arguments.ts';

const names = ['image manifest', 'pod manifest', 'archive'];
const read = (...words: string[]) => readArguments(words, names, 7);

describe('the arguments of npm run fuzz', () => {
  it('choose targets by parts of their names', () => {
    expect(read()).toMatchObject({ chosen: names, inputs: 100_000, seed: 7, isGuided: true });
    expect(read('manifest', '--inputs', '5', '--seed', '0', '--unguided')).toMatchObject({
      ...{ chosen: names.slice(0, 2), inputs: 5, seed: 0, isGuided: false },
    });
  });

  it.each(['--help', '-h'])('show every option and target for %s', (word) => {
    const told = read(word, 'archive');
    expect(told).toMatchObject({ status: 0 });
    const text = 'text' in told ? told.text : '';
    for (const part of ['--inputs', '--seed', '--save', '--unguided', '--ask', ...names])
      expect(text).toContain(part);
  });

  it.each([
    [['--colour'], "Unknown option '--colour'"],
    [['--inputs', 'many'], '--inputs takes a number'],
    [['--inputs', '0'], '--inputs takes a number'],
    [['--seed', '-1'], "Option '--seed' argument is ambiguous"],
    [['archive', 'nothing'], 'no target has "nothing" in its name'],
  ])('are refused with a sentence when they are %j', (words, sentence) => {
    const told = read(...words);
    expect(told).toMatchObject({ status: 64 });
    expect('text' in told && told.text).toContain(sentence);
    expect('text' in told && told.text).toContain('--help');
  });
});
