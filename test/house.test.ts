import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '..');
const src = join(root, 'src');

/** The cells of the tables in docs/architecture.md, section "The house". */
const tables = (readFileSync(join(root, 'docs/architecture.md'), 'utf8').split('\n## The house\n')[1] ?? '')
  .split('\n## ', 1)
  .join('')
  .split('\n')
  .filter((line) => line.startsWith('| '))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
const quoted = (cell = ''): string => /^`(.*)`$/.exec(cell)?.[1] ?? '';

/** In the order of dependencies: a folder imports only from those before it. */
const folders = tables
  .filter(([, folder]) => quoted(folder) !== '')
  .map(([wing = '', folder]) => ({ wing, folder: quoted(folder) }));
/** Doors beside `index.ts`. */
const doors = tables.map(([door]) => quoted(door)).filter((door) => door.endsWith('.ts'));

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

/** `cli` counts as one folder, so that its parts may import each other. */
const folderOf = (file: string): string => (file.startsWith('cli/') ? 'cli' : dirname(file));
const rowOf = (file: string): number => folders.findIndex(({ folder }) => folder === folderOf(file));
const wingOf = (file: string): string => folders[rowOf(file)]?.wing ?? '';
const show = (wrong: readonly Import[]): string[] => wrong.map(({ from, to }) => `${from} → ${to}`);

describe('the house', () => {
  const all = imports();

  it('has the seven wings, and a table of one to four doors', () => {
    expect([...new Set(folders.map(({ wing }) => wing))]).toEqual([
      'core',
      'image',
      'wire',
      'device',
      'operator',
      'controller',
      'cli',
    ]);
    expect(doors.length).toBeGreaterThan(0);
    expect(doors.length).toBeLessThanOrEqual(4);
  });

  it('has exactly the folders of the table', () => {
    const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.ts'),
    );
    expect([...new Set(files.map(folderOf))].sort()).toEqual(folders.map(({ folder }) => folder).sort());
  });

  it('has no import from a later row', () => {
    expect(all.length).toBeGreaterThan(1000);
    const wrong = all.filter(({ from, to }) => folderOf(from) !== folderOf(to) && rowOf(to) >= rowOf(from));
    expect(show(wrong)).toEqual([]);
  });

  it('has no import between device and the wings of other machines', () => {
    const others = ['operator', 'controller'];
    const isBetween = (one: string, other: string) => one === 'device' && others.includes(other);
    const wrong = all.filter(
      ({ from, to }) => isBetween(wingOf(from), wingOf(to)) || isBetween(wingOf(to), wingOf(from)),
    );
    expect(show(wrong)).toEqual([]);
  });

  it('is entered by index.ts or by a door of the table', () => {
    const wrong = all.filter(
      ({ from, to }) => folderOf(from) !== folderOf(to) && !to.endsWith('/index.ts') && !doors.includes(to),
    );
    expect(show(wrong)).toEqual([]);
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
