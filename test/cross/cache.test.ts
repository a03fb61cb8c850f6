import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cached, cacheRoot, contentKey } from '../../cross/cache.ts';

describe('the name of a cached result', () => {
  it('is the same for the same content and different for any other', () => {
    expect(contentKey(['a', Buffer.from('b')])).toBe(contentKey([Buffer.from('a'), 'b']));
    expect(contentKey(['a', 'b'])).not.toBe(contentKey(['b', 'a']));
    expect(contentKey(['a', 'b'])).toMatch(/^[0-9a-f]{24}$/);
  });

  it('separates its parts', () => {
    expect(contentKey(['ab', 'c'])).not.toBe(contentKey(['a', 'bc']));
    expect(contentKey(['1:a'])).not.toBe(contentKey(['1', 'a']));
  });
});

describe('the cache', () => {
  const before = process.env['XDG_CACHE_HOME'];
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'wherry-cache-'));
    process.env['XDG_CACHE_HOME'] = home;
  });
  afterEach(() => {
    rmSync(home, { recursive: true });
    if (before === undefined) delete process.env['XDG_CACHE_HOME'];
    else process.env['XDG_CACHE_HOME'] = before;
  });
  const key = contentKey(['x']);

  it('is at the place set by XDG, by default in the home directory', () => {
    expect(cacheRoot({ XDG_CACHE_HOME: '/c' })).toBe('/c/wherry');
    expect(cacheRoot({ XDG_CACHE_HOME: 'relative' })).toMatch(/\/\.cache\/wherry$/);
  });

  it('builds a result once, even when two builds need it at the same time', async () => {
    let builds = 0;
    const build = async (dir: string): Promise<void> => {
      builds++;
      await new Promise((done) => setImmediate(done));
      writeFileSync(join(dir, 'file'), 'content');
    };
    const dirs = await Promise.all([cached('thing', key, build), cached('thing', key, build)]);
    expect(await cached('thing', key, build)).toBe(dirs[0]);
    expect(dirs[0]).toBe(dirs[1]);
    expect(builds).toBe(1);
    expect(readFileSync(join(dirs[0], 'file'), 'utf8')).toBe('content');
  });

  it('keeps nothing of a failed build, and repeats it the next time', async () => {
    const failing = cached('thing', key, (dir) => {
      writeFileSync(join(dir, 'half'), '');
      return Promise.reject(new Error('no luck'));
    });
    await expect(failing).rejects.toThrow('no luck');
    expect(readdirSync(cacheRoot())).toEqual([]);
    expect(existsSync(await cached('thing', key, () => Promise.resolve()))).toBe(true);
  });

  it('removes the leftovers of a killed build', async () => {
    const root = cacheRoot();
    await cached('thing', key, () => Promise.resolve());
    // Process ids end at 2^22 on Linux (proc(5), pid_max): no process has this one.
    writeFileSync(join(root, 'tmp.4194999.abc'), '');
    await cached('thing', contentKey(['y']), () => Promise.resolve());
    expect(existsSync(join(root, 'tmp.4194999.abc'))).toBe(false);
  });
});
