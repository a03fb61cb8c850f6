import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { transitions } from '../src/device/deploy/transitions.ts';

const root = join(import.meta.dirname, '..');
const read = (page: string): string => readFileSync(join(root, page), 'utf8');
const pages = [
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).map((file) => `docs/${file}`),
  ...readdirSync(root),
].filter((file) => file.endsWith('.md'));

/** The anchors that GitHub gives the headings of a page. */
function anchors(page: string): string[] {
  return [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe('the pages', () => {
  it('link only to files and headings that exist', () => {
    const links = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)/g)].map(
        ([link, file = '', anchor]) => ({ page, link, file, anchor }),
      ),
    );
    const broken = links.filter(({ page, file, anchor }) => {
      const target = file === '' ? page : join(dirname(page), file);
      if (!existsSync(join(root, target))) return true;
      return anchor !== undefined && !anchors(target).includes(anchor);
    });
    expect(links.length).toBeGreaterThan(100);
    expect(broken).toEqual([]);
  });

  it('name only source files that exist', () => {
    const missing = pages
      .filter((page) => page !== 'CHANGELOG.md')
      .flatMap((page) =>
        [
          ...read(page).matchAll(/`((?:src|test|qemu|cross|bench|board-configs)\/[\w./@-]+)`/g),
          ...read(page).matchAll(/(?<![\w`/.])(test\/[\w/-]+\.test\.ts)/g),
        ]
          .filter(([, path = '']) => !path.includes('NAME') && !existsSync(join(root, path)))
          .map(([, path = '']) => `${page}: ${path}`),
      );
    expect(missing).toEqual([]);
  });
});

describe('docs/architecture.md', () => {
  const text = read('docs/architecture.md');

  it('walks a desired state through files that exist, each once', () => {
    const walk = [...text.matchAll(/^\d+\. `([\w./@-]+\.ts)`/gm)].map(([, file = '']) => file);
    expect(walk.length).toBeGreaterThan(30);
    expect(walk.filter((file) => !existsSync(join(root, 'src', file)))).toEqual([]);
    expect(walk.filter((file, index) => walk.indexOf(file) !== index)).toEqual([]);
  });

  it('draws the transitions of the table', () => {
    const drawn = [...text.matchAll(/^ {4}(\w+) --> (\w+): ([\w-]+)$/gm)].map(([, from, to, event]) =>
      [from, event, to?.replace('_', '-')].join(' '),
    );
    const table = Object.entries(transitions).flatMap(([from, events]) =>
      Object.entries(events).map(([event, to]) => [from, event, to].join(' ')),
    );
    expect(drawn.sort()).toEqual(table.sort());
  });
});
