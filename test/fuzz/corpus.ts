import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Inputs that once reached new code: one file per target, one input a line, in base64. */
const fileOf = (target: string): string =>
  join(import.meta.dirname, 'corpus', `${target.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}.txt`);

/** Short inputs are enough to reach code, and keep the repository small. */
const maxKeptBytes = 1024;
const maxKept = 60;

export function readCorpus(target: string): readonly Buffer[] {
  const file = fileOf(target);
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => Buffer.from(line, 'base64'));
}

/** Adds inputs of up to 1024 bytes until the file has 60. */
export function addToCorpus(target: string, inputs: readonly Uint8Array[]): void {
  const lines = [...readCorpus(target), ...inputs]
    .filter((input) => input.length <= maxKeptBytes)
    .map((input) => Buffer.from(input).toString('base64'));
  const kept = [...new Set(lines)].filter((line) => line !== '').slice(0, maxKept);
  mkdirSync(dirname(fileOf(target)), { recursive: true });
  writeFileSync(fileOf(target), kept.map((line) => `${line}\n`).join(''));
}
