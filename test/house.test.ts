import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const src = resolve(import.meta.dirname, '../src');

/** From the bottom of the house to its roof; a folder imports only from those before it. */
const storeys = [
  ['refusal', 'ports', 'cbor'],
  ['appc'],
  ['aci', 'trust', 'systemd'],
  ['fetch', 'store', 'pod', 'oci', 'network', 'metadata'],
  ['health', 'deploy'],
  ['session'],
  ['daemon', 'fleet'],
  ['cli'],
];

interface Import {
  readonly from: string;
  readonly to: string;
}

function imports(): Import[] {
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  return files.flatMap((file) => {
    const text = readFileSync(join(src, file), 'utf8');
    return [...text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)].map((match) => ({
      from: file,
      to: relative(src, resolve(dirname(join(src, file)), match[1] ?? '')),
    }));
  });
}

const folderOf = (file: string): string => file.split('/')[0] ?? '';
const storeyOf = (file: string): number => storeys.findIndex((folders) => folders.includes(folderOf(file)));

describe('the house', () => {
  const all = imports();

  it('has only folders that have their place', () => {
    expect(all.filter(({ from }) => storeyOf(from) < 0)).toEqual([]);
  });

  it('has no import that points up or sideways', () => {
    const wrong = all.filter(
      ({ from, to }) =>
        folderOf(from) !== folderOf(to) && storeyOf(to) >= storeyOf(from) && storeyOf(from) >= 0,
    );
    expect(wrong.map(({ from, to }) => `${from} → ${to}`)).toEqual([]);
  });

  it('is entered through the front door: index.ts, or a file that its folder keeps apart on purpose', () => {
    const doors = [
      'index.ts',
      'builder.ts',
      'render.ts',
      'render-mounted.ts',
      'object-builder.ts',
      'patch.ts',
      'build-file.ts',
      'tree-xattrs.ts',
      'elf.ts',
      'openpgp.ts',
      'sign.ts',
      'pull-unit.ts',
      'operator.ts',
      'credentials-file.ts',
      'image-server.ts',
      'embedded-broker.ts',
      'inspect.ts',
    ];
    const climbing = all.filter(
      ({ from, to }) => folderOf(from) !== folderOf(to) && !doors.includes(to.split('/').at(-1) ?? ''),
    );
    expect(climbing.map(({ from, to }) => `${from} → ${to}`)).toEqual([]);
  });

  it('has no circle of imports between files', () => {
    const edges = new Map<string, string[]>();
    for (const { from, to } of all) edges.set(from, [...(edges.get(from) ?? []), to]);
    const done = new Set<string>();
    const circle = (file: string, path: readonly string[]): string[] | undefined => {
      if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
      if (done.has(file)) return undefined;
      for (const next of edges.get(file) ?? []) {
        const found = circle(next, [...path, file]);
        if (found !== undefined) return found;
      }
      done.add(file);
      return undefined;
    };
    for (const file of edges.keys()) expect(circle(file, [])).toBeUndefined();
  });
});
