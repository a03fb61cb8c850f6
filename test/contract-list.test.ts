import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { refusalCodes } from '../src/core/refusal/codes.ts';
import { places } from '../src/device/host/places.ts';
import { deviceTopics } from '../src/wire/report/topics.ts';

const root = join(import.meta.dirname, '..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/**
 * The contract, one line for each fact. A change of prose must not change it. A change of the
 * contract changes `contract-list.txt` in the same commit: run this test with `-u` and read the
 * difference.
 */
describe('the stored list of the contract', () => {
  it('has every number, code, topic, CBOR key and disk path', async () => {
    const list = [...sentences(), ...codes(), ...topics(), ...keys(), ...paths()];
    await expect(`${list.join('\n')}\n`).toMatchFileSnapshot('contract-list.txt');
  });
});

/** Each numbered sentence, with its quoted words and its numbers. */
function sentences(): string[] {
  const text = read('docs/contract.md').split('\n## Codes\n', 1).join('');
  return text
    .split(/^(?=- \*\*C[0-9]+\*\*|## )/m)
    .flatMap((part) => {
      const [, number, sentence] = /^- \*\*(C[0-9]+)\*\* ([^]*)/.exec(part) ?? [];
      if (number === undefined || sentence === undefined) return [];
      const quoted = [...sentence.matchAll(/`([^`]+)`/g)].map(([, token = '']) => token);
      const counts = sentence.replaceAll(/`[^`]+`/g, '').match(/(?<![\w.])\d[\d.^−]*(?![\w])/g) ?? [];
      const facts = [...new Set([...quoted, ...counts.map((count) => count.replace(/\.$/, ''))])].sort();
      return [`sentence ${number}: ${facts.join(' | ')}`];
    })
    .sort((a, b) => numberOf(a) - numberOf(b));
}

const numberOf = (line: string): number => Number(/C(\d+)/.exec(line)?.[1]);

function codes(): string[] {
  return Object.entries(refusalCodes).map(([code, [kind]]) => `code ${code}: ${kind}`);
}

function topics(): string[] {
  return Object.entries(deviceTopics('fleet', 'device')).map(([kind, topic]) => `topic ${kind}: ${topic}`);
}

/** The keys of every map in the messages and the state slots, by their reader. */
function keys(): string[] {
  const wire = readdirSync(join(root, 'src/wire'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => `src/wire/${file}`)
    .sort();
  return [...wire, 'src/device/deploy/state-codec.ts'].flatMap((file) => {
    const source = ts.createSourceFile(file, read(file), ts.ScriptTarget.Latest, true);
    return source.statements
      .filter(ts.isVariableStatement)
      .flatMap(({ declarationList }) => [...declarationList.declarations])
      .flatMap((declaration) =>
        keysIn(declaration).map((key) => `key ${basename(file)} ${declaration.name.getText()}: ${key}`),
      );
  });
}

/**
 * Paths of keys in the calls of `map` below `node`. An optional key ends in a question mark.
 */
function keysIn(node: ts.Node, above = ''): string[] {
  const [fields] = ts.isCallExpression(node) ? node.arguments : [];
  const isMap = ts.isCallExpression(node) && node.expression.getText() === 'map';
  if (isMap && fields !== undefined && ts.isObjectLiteralExpression(fields)) return keysOf(fields, above);
  const found: string[] = [];
  ts.forEachChild(node, (child) => void found.push(...keysIn(child, above)));
  return found;
}

function keysOf(fields: ts.ObjectLiteralExpression, above: string): string[] {
  return fields.properties.flatMap((field) => {
    if (ts.isSpreadAssignment(field)) return keysOf(objectCalled(field.expression.getText(), field), above);
    const name = field.name.getText();
    const value = ts.isPropertyAssignment(field) ? field.initializer : undefined;
    const mark = value?.getText().startsWith('optional(') === true ? '?' : '';
    const below = value === undefined ? [] : keysIn(value, `${above}${name}/`);
    return [`${above}${name}${mark}`, ...below];
  });
}

/** The fields that several maps of a file share. */
function objectCalled(name: string, near: ts.Node): ts.ObjectLiteralExpression {
  const declared = near
    .getSourceFile()
    .statements.filter(ts.isVariableStatement)
    .flatMap(({ declarationList }) => [...declarationList.declarations])
    .find((declaration) => declaration.name.getText() === name)?.initializer;
  if (declared === undefined || !ts.isObjectLiteralExpression(declared))
    throw new Error(`${near.getSourceFile().fileName}: ${name} is not an object of fields`);
  return declared;
}

function paths(): string[] {
  const [, block = ''] = /\n## On disk\n+```\n([^]*?)```/.exec(read('docs/architecture.md')) ?? [];
  const drawn = block.split('\n').flatMap((line) => line.match(/^\/\S+( ID>\S*)?/)?.slice(0, 1) ?? []);
  const manuals = readdirSync(join(root, 'docs/man'))
    .sort()
    .flatMap((page) =>
      [...read(`docs/man/${page}`).matchAll(/^\.It Pa (.+)$/gm)].map(([, path = '']) => `${page} ${path}`),
    );
  return [
    ...Object.entries(places).map(([place, path]) => `place ${place}: ${path}`),
    ...drawn.map((path) => `path in architecture.md: ${path}`),
    ...manuals.map((path) => `path in ${path}`),
  ];
}
