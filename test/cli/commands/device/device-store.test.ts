import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { emptyState } from '../../../../src/device/deploy/state.ts';
import { encodeState } from '../../../../src/device/deploy/state-codec.ts';
import { nodeDisk } from '../../../../src/device/store/node-disk.ts';
import { stateSlots } from '../../../../src/device/store/state-slots.ts';
import type { StoredImage } from '../../../../src/device/store/image-store.ts';
import { deployedPod } from '../../../support/world-model.ts';
import { objectBytes } from '../../../support/object-bytes.ts';
import { parseImageId } from '../../../../src/image/appc/index.ts';
import { main } from '../../../../src/cli/main.ts';
import { recordingTerminal, wherry } from '../../../support/recording-terminal.ts';

let directory: string;
const idOf = (digit: string) => parseImageId(`sha512-${digit.repeat(128)}`);
const objectOf = (digit: string): string => join(directory, 'images', `${idOf(digit)}.erofs`);

function image(digit: string, name: string, bytes: Buffer): StoredImage {
  const labels = [{ name: 'version', value: `${digit}.0` }];
  const manifest = { acKind: 'ImageManifest', acVersion: '0.8.11', name, labels };
  return {
    id: idOf(digit),
    name,
    sizeBytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    manifest: Buffer.from(JSON.stringify(manifest)),
    lastUse: 1_767_225_600,
  };
}

/** A store with an image of the running version, an unused one, and an unknown object. */
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'wherry-store-'));
  await mkdir(join(directory, 'images'));
  await mkdir(join(directory, 'partial/left'), { recursive: true });
  const [web, old] = [objectBytes(30), objectBytes(20)];
  for (const [digit, bytes] of [
    ['1', web],
    ['2', old],
    ['3', objectBytes(2)],
  ] as const) {
    await writeFile(objectOf(digit), bytes);
    await chmod(objectOf(digit), 0o444);
  }
  const state = {
    ...emptyState,
    current: { version: 7, pods: [deployedPod('web')], imageIds: [idOf('1')] },
    images: [image('1', 'example.com/web', web), image('2', 'example.com/old', old)],
  };
  await stateSlots(nodeDisk(), directory).write(encodeState(state));
});
afterEach(() => rm(directory, { recursive: true }));

const onStore = (...args: string[]) => wherry([...args, '--store', directory]);
const spoil = async (digit: string): Promise<void> => {
  const bytes = objectBytes(digit === '1' ? 30 : 20);
  bytes[9000] = 1;
  await chmod(objectOf(digit), 0o644);
  await writeFile(objectOf(digit), bytes);
  await chmod(objectOf(digit), 0o444);
};

describe('wherry image verify --on-device', () => {
  it('reads every byte of every image and reports the result [C72]', async () => {
    const { status, out, err } = await onStore('image', 'verify', '--on-device');
    expect({ status, err }).toEqual({ status: 0, err: '' });
    expect(out).toBe(
      'example.com/old sha512-222222222222: ok, 80.0 KiB read\nexample.com/web sha512-111111111111: ok, 120.0 KiB read\n',
    );
  });

  it('exits with 65 after reading all images if a byte of one was changed [C72]', async () => {
    await spoil('2');
    const { status, out, err } = await onStore('image', 'verify', '--on-device');
    expect(status).toBe(65);
    expect(out.split('\n')).toEqual([
      'example.com/old sha512-222222222222: image-corrupt: the stored object of example.com/old has other bytes than were verified',
      'example.com/web sha512-111111111111: ok, 120.0 KiB read',
      '',
    ]);
    expect(err).toContain(`"rm ${objectOf('2')}" and "systemctl restart wherryd"`);
    expect(err).toContain('(image-corrupt)');
    const [results, failure] = (await onStore('image', 'verify', '--on-device', '--json')).out
      .trim()
      .split('\n');
    expect(JSON.parse(results ?? '')).toMatchObject([
      { name: 'example.com/old', ok: false, sealed: false },
      { id: idOf('1'), ok: true, sizeBytes: 122_880 },
    ]);
    expect(JSON.parse(failure ?? '')).toMatchObject({ error: { code: 'image-corrupt' } });
  });

  it('reads the given ones, by name or by the beginning of the ID', async () => {
    await spoil('2');
    for (const name of ['example.com/web', 'sha512-11111'])
      expect((await onStore('image', 'verify', '--on-device', name)).status).toBe(0);
    const { status, err } = await onStore('image', 'verify', '--on-device', 'example.com/other');
    expect(status).toBe(64);
    expect(err).toMatch(/no image example\.com\/other is stored here/);
  });

  it('reports a missing image that is needed, and not one that was collected', async () => {
    await rm(objectOf('1'));
    await rm(objectOf('2'));
    const { status, out } = await onStore('image', 'verify', '--on-device');
    expect(status).toBe(65);
    expect(out).toMatch(/^example\.com\/web [^\n]*is missing\n$/);
  });

  it('shows its progress on a terminal, in a line that is removed at the end', async () => {
    const { terminal, err } = recordingTerminal({ isLive: true });
    expect(await main(['image', 'verify', '--on-device', '--store', directory], {}, terminal)).toBe(0);
    expect(err()).toContain('example.com/web  120.0 KiB of 120.0 KiB  100 %');
    expect(err()).toMatch(/\r\u001b\[2K\u001b\[\?7l\u001b\[\?7h$/);
  });

  it.each([
    [['image', 'verify']],
    [['image', 'verify', 'x.aci', '--store', '/x']],
    [['image', 'verify', '--on-device', '--key', 'x']],
    [['image', 'list']],
    [['gc', '--store', '/x']],
  ])('refuses %j', async (args) => {
    const { status, err } = await wherry(args);
    expect(status).toBe(64);
    expect(err).toMatch(/\(usage\)\n$/);
  });

  it('reports a missing device', async () => {
    const { status, err } = await wherry([
      'image',
      'verify',
      '--on-device',
      '--store',
      join(directory, 'none'),
    ]);
    expect(status).toBe(64);
    expect(err).toMatch(/there is no store of images in .*none; run this on a device \(not-found\)/);
  });
});

describe('wherry image list --on-device', () => {
  it('shows size, last use, users and seal of each image', async () => {
    const { status, out } = await onStore('image', 'list', '--on-device');
    expect(status).toBe(0);
    expect(
      out
        .trim()
        .split('\n')
        .map((line) => line.trim().split(/ {2,}/)),
    ).toEqual([
      ['IMAGE', 'VERSION', 'ID', 'SIZE', 'LAST USE', 'NEEDED BY', 'PODS', 'FS-VERITY'],
      ['example.com/old', '2.0', 'sha512-222222222222', '80.0 KiB', '2026-01-01 00:00', '-', '-', 'no'],
      ['example.com/web', '1.0', 'sha512-111111111111', '120.0 KiB', 'in use', 'current 7', '-', 'no'],
      ['(unknown)', '-', 'sha512-333333333333', '8.0 KiB', '-', '-', '-', 'no'],
    ]);
    const rows = JSON.parse((await onStore('image', 'list', '--on-device', '--json')).out) as object[];
    expect(rows[0]).toEqual({
      id: idOf('2'),
      name: 'example.com/old',
      version: '2.0',
      sizeBytes: 81_920,
      inUse: false,
      lastUse: '2026-01-01T00:00:00.000Z',
      deployments: [],
      pods: [],
      verity: null,
    });
  });

  it('writes nothing [C53]', async () => {
    const times = async () =>
      await Promise.all(
        [directory, join(directory, 'images'), objectOf('1')].map(async (path) => (await stat(path)).ctimeMs),
      );
    await utimes(objectOf('1'), 0, 0);
    const before = await times();
    await onStore('image', 'list', '--on-device');
    await onStore('image', 'verify', '--on-device');
    await onStore('gc', '--dry-run');
    expect(await times()).toEqual(before);
  });
});

describe('wherry gc --dry-run', () => {
  it('lists the files that it would delete, and deletes nothing', async () => {
    const { status, out } = await onStore('gc', '--dry-run');
    expect(status).toBe(0);
    expect(out).toContain(objectOf('2'));
    expect(out).toContain(objectOf('3'));
    expect(out).toContain(join(directory, 'partial/left'));
    expect(out).not.toContain(objectOf('1'));
    expect(out).toMatch(/"wherry gc" would free [0-9.]+ KiB\n$/);
    expect((await onStore('gc', '--dry-run')).out).toBe(out);
    const { garbage, totalBytes } = JSON.parse((await onStore('gc', '--dry-run', '--json')).out) as {
      garbage: { path: string; allocatedBytes: number }[];
      totalBytes: number;
    };
    expect(garbage).toHaveLength(3);
    expect(totalBytes).toBe(garbage.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0));
  });
});
