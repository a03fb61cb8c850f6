import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { refusalCodes } from '../src/core/refusal/codes.ts';

const contract = readFileSync(join(import.meta.dirname, '../docs/contract.md'), 'utf8');

describe('the contract', () => {
  it('lists every code with its class and meaning, and no other', () => {
    const listed = [...contract.matchAll(/^\| `([a-z-]+)` \| ([a-z]+) \| (.+) \|$/gm)].map((row) =>
      row.slice(1),
    );
    const known = Object.entries(refusalCodes).map(([code, [kind, meaning]]) => [code, kind, meaning]);
    expect(listed).toEqual(known);
  });

  it('has a test for every sentence, and every test names a sentence that exists', () => {
    const sentences = [...contract.matchAll(/^- \*\*(C[0-9]+)\*\*/gm)].map((match) => match[1] ?? '');
    expect(new Set(sentences).size).toBe(sentences.length);
    const named = new Set([...codeOfTests().matchAll(/\[(C[0-9]+)\]/g)].map((match) => match[1] ?? ''));
    expect(sentences.filter((sentence) => !named.has(sentence))).toEqual([]);
    expect([...named].filter((sentence) => !sentences.includes(sentence))).toEqual([]);
  });
});

/**
 * The code of all tests without comments. In code, only titles contain numbers of sentences.
 */
function codeOfTests(): string {
  return readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts') && file !== 'contract.test.ts')
    .flatMap((file) => readFileSync(join(import.meta.dirname, file), 'utf8').split('\n'))
    .filter((line) => !/^\s*(\/\/|\/?\*)/.test(line))
    .map((line) => line.replace(/\s\/\/ .*$/, ''))
    .join('\n');
}
