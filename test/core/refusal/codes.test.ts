import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Refusal } from '../../../src/core/refusal/refusal.ts';
import { refusalCodes, type RefusalCode } from '../../../src/core/refusal/codes.ts';

const root = join(import.meta.dirname, '../../..');
const codes = Object.keys(refusalCodes) as RefusalCode[];

function textOf(folder: string, isWanted: (file: string) => boolean): string {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(isWanted)
    .map((file) => readFileSync(join(root, folder, file), 'utf8'))
    .join('\n');
}

/** Codes that do not occur as separate words in `text`. */
const missingIn = (text: string): RefusalCode[] =>
  codes.filter((code) => !new RegExp(`(?<![\\w-])${code}(?![\\w-])`).test(text));

describe('[A10.12] every code of the closed list', () => {
  it('is used by the sources', () => {
    const given = textOf('src', (file) => file.endsWith('.ts') && file !== 'core/refusal/codes.ts');
    expect(missingIn(given.replace(/^\s*(\/\/|\*|\/\*\*).*$/gm, ''))).toEqual([]);
  });

  it('is expected by a test or by a pod case', () => {
    const isTest = (file: string): boolean =>
      (file.endsWith('.test.ts') || file.endsWith('.pod')) && !/^(core\/refusal|board|fuzz)\//.test(file);
    const tests = textOf('test', isTest).replace(/^\s*(\/\/|\*|\/\*\*).*$/gm, '');
    expect(missingIn(tests)).toEqual([]);
  });
});

it('a refusal in a log line is its message, without a class name', () => {
  expect(`no report: ${String(new Refusal('no-space', 'the disk is full'))}`).toBe(
    'no report: the disk is full',
  );
});
