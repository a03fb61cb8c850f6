import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { buildTime } from '../../cross/build-time.ts';
import { cachedDirectory, cacheRoot, contentKey } from '../../cross/cache.ts';

describe('the cache of build results', () => {
  let root: string;

  beforeEach(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'wherry-cache-'));
  });
  afterEach(() => rm(root, { recursive: true }));

  const build = (key: string, text: string) =>
    cachedDirectory(root, 'kind', key, (into) => writeFile(path.join(into, 'result'), text));

  it('builds once per key', async () => {
    const first = await build('a', 'one');
    expect(await build('a', 'two')).toBe(first);
    expect(await readFile(path.join(first, 'result'), 'utf8')).toBe('one');
    expect(await build('b', 'two')).not.toBe(first);
  });

  it('keeps nothing of a build that failed', async () => {
    const failing = cachedDirectory(root, 'kind', 'a', async (into) => {
      await writeFile(path.join(into, 'half'), '');
      throw new Error('compiler crashed');
    });
    await expect(failing).rejects.toThrow('compiler crashed');
    expect(await readdir(path.join(root, 'kind'))).toEqual([]);
  });

  it('lets two builds of the same content run at once', async () => {
    const [one, two] = await Promise.all([build('a', 'x'), build('a', 'x')]);
    expect(one).toBe(two);
    expect(await readdir(path.join(root, 'kind'))).toEqual(['a']);
  });

  it('tells apart parts that read the same when joined', () => {
    expect(contentKey(['ab', 'c'])).not.toBe(contentKey(['a', 'bc']));
    expect(contentKey(['a', Buffer.from('b')])).toBe(contentKey(['a', 'b']));
  });

  it('lies where the user says', () => {
    expect(cacheRoot({ XDG_CACHE_HOME: '/elsewhere' })).toBe('/elsewhere/wherry');
    expect(cacheRoot({})).toMatch(/\/\.cache\/wherry$/);
  });
});

describe('the time that stands on packaged files', () => {
  const root = path.join(import.meta.dirname, '../..');

  it('is SOURCE_DATE_EPOCH where that is given', async () => {
    expect(await buildTime(root, { SOURCE_DATE_EPOCH: '1234567890' })).toBe(1_234_567_890);
    await expect(buildTime(root, { SOURCE_DATE_EPOCH: 'yesterday' })).rejects.toThrow(
      'SOURCE_DATE_EPOCH is "yesterday"; it must be seconds since 1970.',
    );
  });

  it('is a fixed day where there is no history', async () => {
    expect(await buildTime(tmpdir(), {})).toBe(Date.UTC(2026, 0, 1) / 1000);
  });
});
