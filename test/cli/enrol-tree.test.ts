import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDirectories, placeEnrolment, replaceEnrolled } from '../../src/cli/enrol-tree.ts';
import type { EnrolmentPath } from '../../src/wire/enrolment/index.ts';
import { CrashingDisk } from '../device/store/crashing-disk.ts';

const config = '/etc/wherry/wherry.toml';
const files: ReadonlyMap<EnrolmentPath, Uint8Array> = new Map<EnrolmentPath, Uint8Array>([
  [config, Buffer.from('fleet = "harbour"\n')],
  ['/etc/wherry/trust/deploy/fleet.asc', Buffer.from('key')],
  ['/etc/wherry/device.key', Buffer.from('private')],
]);
const contentOf = async (disk: CrashingDisk, path: string): Promise<string | undefined> => {
  const bytes = await disk.read(path, 1000);
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
};
const isWhole = async (disk: CrashingDisk): Promise<boolean> => {
  for (const [path, content] of files)
    if ((await contentOf(disk, `/tree${path}`)) !== Buffer.from(content).toString()) return false;
  return true;
};

describe('an enrolment', () => {
  it('[C179] is whole or has no configuration after any power cut, and can be resumed', async () => {
    const disk = new CrashingDisk();
    const after: CrashingDisk[] = [];
    disk.onChange = () => after.push(...disk.crashes());
    expect(await placeEnrolment(disk, '/tree', files)).toBe('enrolled');
    expect(await isWhole(disk)).toBe(true);
    expect(after.length).toBeGreaterThan(20);
    for (const crashed of after) {
      if ((await contentOf(crashed, `/tree${config}`)) !== undefined)
        expect(await isWhole(crashed)).toBe(true);
      await placeEnrolment(crashed, '/tree', files);
      expect(await isWhole(crashed)).toBe(true);
      expect(crashed.paths()).toEqual(disk.paths());
    }
  });

  it('[C179] leaves nothing behind when a step fails', async () => {
    for (let failing = 1; ; failing++) {
      const disk = new CrashingDisk();
      let step = 0;
      disk.onChange = () => {
        step += 1;
        if (step === failing) throw new Error('the disk is full');
      };
      const outcome = await placeEnrolment(disk, '/tree', files).catch((error: unknown) => error);
      if (outcome === 'enrolled') break;
      expect(outcome).toMatchObject({ code: 'input-invalid' });
      expect(disk.paths()).toEqual([]);
    }
  });

  it('[C179] is done once: a repetition changes nothing, and another identity is refused', async () => {
    const disk = new CrashingDisk();
    await placeEnrolment(disk, '/tree', files);
    expect(await placeEnrolment(disk, '/tree', files)).toBe('unchanged');
    const other = new Map(files).set(config, Buffer.from('fleet = "other"\n'));
    await expect(placeEnrolment(disk, '/tree', other)).rejects.toMatchObject({
      code: 'input-invalid',
      message: expect.stringContaining('is enrolled already') as string,
    });
    expect(await isWhole(disk)).toBe(true);
  });

  it('[C179] replaces no file of somebody else', async () => {
    const disk = new CrashingDisk();
    disk.put('/tree/etc/wherry/device.key', Buffer.from('another key'));
    await expect(placeEnrolment(disk, '/tree', files)).rejects.toMatchObject({
      message: expect.stringContaining('/tree/etc/wherry/device.key is there with other content') as string,
    });
    expect(disk.paths()).toEqual(['/tree/etc/wherry/device.key']);
  });

  it('keeps credentials readable by root only', async () => {
    const disk = new CrashingDisk();
    await placeEnrolment(disk, '/tree', files);
    expect(await disk.look('/tree/etc/wherry/device.key')).toMatchObject({ mode: 0o600 });
    expect(await disk.look(`/tree${config}`)).toMatchObject({ mode: 0o644 });
  });
});

describe('a certificate that is renewed', () => {
  const path = '/etc/wherry/device.pem';

  it('[C223] is the old one or the new one after any power cut', async () => {
    const disk = new CrashingDisk();
    disk.put(`/tree${path}`, Buffer.from('old'));
    const after: CrashingDisk[] = [];
    disk.onChange = () => after.push(...disk.crashes());
    await replaceEnrolled(disk, '/tree', path, Buffer.from('new'));
    expect(await contentOf(disk, `/tree${path}`)).toBe('new');
    expect(disk.paths()).toEqual([`/tree${path}`]);
    const found = new Set<string | undefined>();
    for (const crashed of after) found.add(await contentOf(crashed, `/tree${path}`));
    expect([...found].sort()).toEqual(['new', 'old']);
  });
});

describe('the directories of a tree', () => {
  let tree: string;
  beforeEach(async () => {
    tree = await mkdtemp(join(tmpdir(), 'wherry-tree-'));
  });
  afterEach(async () => {
    await rm(tree, { recursive: true });
  });

  it('[C179] are never reached through a link, which leads out of the tree', async () => {
    await mkdir(join(tree, 'etc'));
    await symlink('/etc/wherry', join(tree, 'etc/wherry'));
    await expect(makeDirectories(tree, files)).rejects.toMatchObject({ code: 'input-invalid' });
  });

  it('[C179] are removed again if one cannot be created', async () => {
    await mkdir(join(tree, 'etc'));
    await writeFile(join(tree, 'etc/systemd'), '');
    const units = new Map<EnrolmentPath, Uint8Array>([
      ...files,
      ['/etc/systemd/system/wherry-key.service', new Uint8Array()],
    ]);
    await expect(makeDirectories(tree, units)).rejects.toMatchObject({ code: 'input-invalid' });
    expect(await readdir(join(tree, 'etc'))).toEqual(['systemd']);
  });
});
