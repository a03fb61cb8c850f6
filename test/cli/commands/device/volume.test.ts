import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { wherry } from '../../../support/recording-terminal.ts';

/** `wherry volume` on a store with two kept volumes, of which a stored pod mounts one. */
describe('kept volumes', () => {
  let store: string;
  beforeEach(() => {
    store = mkdtempSync(join(tmpdir(), 'wherry-volumes-'));
    for (const path of [
      'volumes/web/data/deep',
      'volumes/web/logs',
      'volumes/web/.removing-old',
      'pods/1/apps/main',
    ])
      mkdirSync(join(store, path), { recursive: true });
    writeFileSync(join(store, 'volumes/web/logs/today'), 'log');
    const mounts = [{ source: 'proc' }, { source: '/var/lib/wherry/volumes/web/data' }];
    writeFileSync(join(store, 'pods/1/apps/main/config.json'), JSON.stringify({ mounts }));
  });
  afterEach(() => rmSync(store, { recursive: true }));

  const volume = (...words: readonly string[]) => wherry(['volume', ...words, '--store', store]);

  it('are listed, and marked if a stored pod has them [C135]', async () => {
    const { status, out } = await volume('list', '--json');
    expect({ status, volumes: JSON.parse(out) as unknown }).toEqual({
      status: 0,
      volumes: [
        { pod: 'web', volume: 'data', inUse: true },
        { pod: 'web', volume: 'logs', inUse: false },
      ],
    });
    expect((await volume('list')).out).toMatch(
      /POD +VOLUME +IN USE +LIMIT +USED\nweb +data +yes +- +-\nweb +logs +no +- +-/,
    );
  });

  it('of a store that is not there are refused', async () => {
    for (const place of [join(store, 'nothing'), join(store, 'volumes/web/logs/today')]) {
      const { status, err } = await wherry(['volume', 'list', '--store', place]);
      expect({ status, err }).toMatchObject({
        status: 64,
        err: expect.stringContaining(`there is no store in ${place}`) as string,
      });
    }
  });

  it('with a limit are listed with it, and removed by their names [C213]', async () => {
    writeFileSync(join(store, 'volumes/web/cache.ext4'), 'file system');
    writeFileSync(join(store, 'volumes/web/cache.ext4.new'), 'half of one');
    const mounts = [{ source: '/run/wherry/volumes/web/cache' }];
    writeFileSync(join(store, 'pods/1/apps/main/config.json'), JSON.stringify({ mounts }));
    expect((JSON.parse((await volume('list', '--json')).out) as unknown[])[0]).toEqual({
      ...{ pod: 'web', volume: 'cache', inUse: true },
      limitBytes: 11,
    });
    expect((await volume('list')).out).toMatch(/^web +cache +yes +11 B +-$/m);
    expect(await volume('rm', 'web', 'cache')).toMatchObject({ status: 64 });
    rmSync(join(store, 'pods/1'), { recursive: true });
    expect(await volume('rm', 'web', 'cache')).toMatchObject({ status: 0 });
    expect(existsSync(join(store, 'volumes/web/cache.ext4'))).toBe(false);
  });

  it('are removed with their content [C135]', async () => {
    expect(await volume('rm', 'web', 'logs')).toMatchObject({ status: 0 });
    expect(readdirSync(join(store, 'volumes/web')).sort()).toEqual(['.removing-old', 'data']);
  });

  it('are not removed while a stored pod has them [C135]', async () => {
    const { status, err } = await volume('rm', 'web', 'data');
    expect(status).toBe(64);
    expect(err).toMatch(/deploy sets without it.*volume-in-use/);
    expect(existsSync(join(store, 'volumes/web/data/deep'))).toBe(true);
  });

  it.each([
    ['web', 'other'],
    ['db', 'data'],
    ['..', 'pods'],
    ['web', '.removing-old'],
  ])('are not found by other names: %s %s', async (pod, name) => {
    expect(await volume('rm', pod, name)).toMatchObject({
      status: 64,
      err: expect.stringContaining('not-found') as string,
    });
  });
});
