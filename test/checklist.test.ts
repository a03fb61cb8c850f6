import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const read = (path: string): string => readFileSync(join(import.meta.dirname, path), 'utf8');

interface Row {
  readonly number: string;
  readonly differs: readonly string[];
  readonly label: string;
  readonly files: readonly string[];
}

const rows = read('../docs/appc-checklist.md')
  .split('\n')
  .filter((line) => line.startsWith('| **A'))
  .map((line): Row => {
    const [, number = '', , , differs = '', label = '', files = '', ...more] = line
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim());
    if (more.length !== 1) throw new Error(`not six cells: ${line}`);
    return {
      number: number.replaceAll('*', ''),
      differs: differs.split(', ').filter((one) => one !== ''),
      label,
      files: files.split(' '),
    };
  });

/** The numbers in the code of a test file, where titles are, without its comments. */
const numbersIn = (file: string): ReadonlySet<string> => {
  const code = read(file).replace(/^\s*(\/\/|\*|\/\*\*).*$/gm, '');
  return new Set([...code.matchAll(/\[(A\d+\.\d+)\]/g)].map((match) => match[1] ?? ''));
};

describe('the checklist of the specification (docs/appc-checklist.md)', () => {
  it('has each number once, in order, with a label', () => {
    const order = rows.map(({ number }) => number.slice(1).split('.').map(Number));
    const inOrder = order.toSorted(([a = 0, b = 0], [c = 0, d = 0]) => a - c || b - d);
    expect(order).toEqual(inOrder);
    expect(new Set(rows.map(({ number }) => number)).size).toBe(rows.length);
    const labels = new Set(rows.map(({ label }) => label));
    expect([...labels].sort()).toEqual(['ours', 'reference-only', 'specification']);
  });

  it('names for each number test files that contain it', () => {
    const without = rows.flatMap(({ number, files }) =>
      files.filter((file) => !numbersIn(`${file}.test.ts`).has(number)).map((file) => `${number} in ${file}`),
    );
    expect(without).toEqual([]);
  });

  it('has every number of a test', () => {
    const known = new Set(rows.map(({ number }) => number));
    const tests = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' }).filter(
      (file) => file.endsWith('.test.ts') && file !== 'checklist.test.ts',
    );
    const unknown = tests.flatMap((file) =>
      [...numbersIn(file)].filter((number) => !known.has(number)).map((number) => `${number} in ${file}`),
    );
    expect(unknown).toEqual([]);
  });

  it('refers to every decision where text and reference differ, and to no other', () => {
    const decisions = [...read('../docs/decisions/appc-differences.md').matchAll(/^\| (\d+[a-z]?) \|/gm)].map(
      (match) => match[1] ?? '',
    );
    const referred = new Set(rows.flatMap(({ differs }) => differs));
    expect(decisions.filter((decision) => !referred.has(decision))).toEqual([]);
    expect([...referred].filter((decision) => !decisions.includes(decision))).toEqual([]);
  });
});
