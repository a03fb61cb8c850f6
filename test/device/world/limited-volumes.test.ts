import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CompiledPod } from '../../../src/device/pod/index.ts';
import type { JobResult } from '../../../src/device/systemd/index.ts';
import { type Disk, nodeDisk } from '../../../src/device/store/index.ts';
import {
  type FoundVolume,
  planVolume,
  readyLimitedVolumes,
  type VolumeAct,
} from '../../../src/device/world/limited-volumes.ts';

const run = promisify(execFile);
const script = join(import.meta.dirname, '../../../cross/debian/make-volume');
const mebibyte = 1n << 20n;

const nothing: FoundVolume = { file: undefined, directory: false, growing: false, runs: false };
const file = (mebibytes: number, growing = false): FoundVolume => ({
  ...nothing,
  ...{ file: { sizeBytes: mebibytes << 20 }, growing },
});

describe('a kept volume', () => {
  it.each<[string, number | undefined, FoundVolume, VolumeAct]>([
    ['without a limit is left to its directory', undefined, { ...nothing, directory: true }, { act: 'keep' }],
    ['with a limit is made when it is missing', 64, nothing, { act: 'make', bytes: 64n * mebibyte }],
    ['of its size is kept', 64, file(64), { act: 'keep' }],
    ['that is smaller grows', 64, file(16), { act: 'grow', bytes: 48n * mebibyte }],
    [
      'of a pod that runs keeps what an undone update gave it',
      16,
      { ...file(64), runs: true },
      { act: 'keep' },
    ],
    ['whose growth was interrupted goes on growing', 64, file(64, true), { act: 'grow', bytes: 0n }],
  ])('%s [C210] [C212]', (_, mebibytes, found, act) => {
    const limit = mebibytes === undefined ? undefined : BigInt(mebibytes) * mebibyte;
    expect(planVolume('web', 'data', limit, found)).toEqual(act);
  });

  it.each<[string, number | undefined, FoundVolume, RegExp]>([
    [
      'gets no smaller',
      16,
      file(64),
      /data of pod web has 64Mi and cannot be made smaller; give it at least/,
    ],
    [
      'gets no limit later',
      16,
      { ...nothing, directory: true },
      /is there without a limit, and cannot get one/,
    ],
    [
      'does not lose its limit',
      undefined,
      file(64),
      /has a limit on this device; give it one of at least 64Mi/,
    ],
  ])('%s [C212]', (_, mebibytes, found, message) => {
    const limit = mebibytes === undefined ? undefined : BigInt(mebibytes) * mebibyte;
    expect(() => planVolume('web', 'data', limit, found)).toThrow(
      expect.objectContaining({
        code: 'pod-volume-invalid',
        message: expect.stringMatching(message) as string,
      }) as Error,
    );
  });
});

describe('the volumes with a limit of a set', () => {
  let root: string;
  let log: string[];
  /** The result of each mount unit. */
  let mounts: (unit: string) => JobResult;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'limited-volumes-'));
    log = [];
    mounts = () => 'done';
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const volumes = () => join(root, 'volumes');
  const pathOf = (name: string) => join(volumes(), 'web', `${name}.ext4`);
  const pod = (...limits: readonly (readonly [name: string, limitBytes: bigint])[]) =>
    ({
      name: 'web',
      keptVolumes: [],
      units: [],
      limitedVolumes: limits.map(([name, limitBytes]) => ({
        ...{ name, limitBytes, file: pathOf(name), where: `/run/${name}`, unit: `${name}.mount` },
        ...{ mode: 0o750, uid: 33, gid: 34 },
      })),
    }) as unknown as CompiledPod;

  /** Runs the unit's real script, and only records mounts. */
  const ready = async (disk: Partial<Disk>, ...pods: readonly CompiledPod[]) =>
    await readyLimitedVolumes(pods, {
      disk: {
        ...nodeDisk(),
        makeDirectory: (path) => Promise.resolve(void mkdirSync(path, { recursive: true })),
        ...disk,
      },
      directories: { volumes: volumes(), run: root },
      ...{ reserveBytes: 0, running: [] },
      files: { writeUnit: (unit) => Promise.resolve(void log.push(`write ${unit}`)) },
      systemd: {
        status: (name) => Promise.resolve({ name, activeState: 'inactive', subState: '' }),
        resetFailed: () => Promise.resolve(),
        stop: () => Promise.resolve('done'),
        start: (unit) => Promise.resolve((log.push(`start ${unit}`), mounts(unit))),
        run: async () => {
          const [what] = readFileSync(join(root, 'volume-job/job'), 'utf8').split(' ');
          log.push(String(what));
          return await run('sh', [script, join(root, 'volume-job')]).then(
            () => 'done',
            () => 'exit-code',
          );
        },
      },
    });

  it('are created whole, allocated, empty and with their owner, then mounted [C210]', async () => {
    await ready({}, pod(['data', 8n * mebibyte], ['logs', 16n * mebibyte]));
    expect(log).toEqual([
      'make',
      'make',
      'write data.mount',
      'start data.mount',
      'write logs.mount',
      'start logs.mount',
    ]);
    expect(readdirSync(join(volumes(), 'web')).sort()).toEqual(['data.ext4', 'logs.ext4']);
    expect(readdirSync(root)).not.toContain('volume-job');
    const { size, blocks, mode } = statSync(pathOf('data'));
    expect({ size, mode: mode & 0o777 }).toEqual({ size: 8 << 20, mode: 0o600 });
    expect(blocks * 512).toBeGreaterThanOrEqual(8 << 20);
    const { stdout: inode } = await run('/usr/sbin/debugfs', ['-R', 'stat /', pathOf('data')]);
    expect(inode.replace(/\s+/g, ' ')).toMatch(/Type: directory Mode: 0750 .*User: 33 Group: 34/);
    const { stdout: names } = await run('/usr/sbin/debugfs', ['-R', 'ls -p /', pathOf('data')]);
    expect(names.match(/[^/]+(?=\/\/\n)/g)).toEqual(['.', '..']);
    const { stdout: features } = await run('/usr/sbin/dumpe2fs', ['-h', pathOf('data')]);
    expect(features).toMatch(/^Filesystem features:.* has_journal/m);
    expect(features).toMatch(/^Reserved block count: +0$/m);
    await run('/usr/sbin/e2fsck', ['-fn', pathOf('data')]);
  });

  it('are re-created if a power cut left a part of one [C210]', async () => {
    mkdirSync(join(volumes(), 'web'), { recursive: true });
    writeFileSync(`${pathOf('data')}.new`, 'part');
    await ready({}, pod(['data', 8n * mebibyte]));
    expect(readdirSync(join(volumes(), 'web'))).toEqual(['data.ext4']);
    await run('/usr/sbin/e2fsck', ['-fn', pathOf('data')]);
  });

  it('are refused together if the disk has no room for all [C211]', async () => {
    const refused = ready(
      { freeBytes: () => Promise.resolve(20 << 20) },
      pod(['data', 8n * mebibyte], ['logs', 16n * mebibyte]),
    );
    await expect(refused).rejects.toMatchObject({
      code: 'no-space',
      message: expect.stringContaining('need 24Mi more, but only 20Mi are free') as string,
    });
    expect({ log, made: existsSync(join(volumes(), 'web')) }).toEqual({ log: [], made: false });
  });

  it('leave nothing behind if the disk fills during their creation [C211]', async () => {
    // Larger than any disk. The reported free space is larger still.
    const refused = ready(
      { freeBytes: () => Promise.resolve(2 ** 52) },
      pod(['data', 8n * mebibyte], ['huge', 1n << 50n]),
    );
    await expect(refused).rejects.toMatchObject({ code: 'no-space' });
    expect(log).toEqual(['make', 'make']);
    expect(readdirSync(join(volumes(), 'web'))).toEqual([]);
  });

  it('leave nothing behind if one of them cannot be mounted [C211]', async () => {
    mounts = (unit) => (unit === 'logs.mount' ? 'failed' : 'done');
    await expect(ready({}, pod(['data', 8n * mebibyte], ['logs', 8n * mebibyte]))).rejects.toMatchObject({
      code: 'device-unsupported',
      message: expect.stringContaining('see journalctl -u logs.mount') as string,
    });
    expect(readdirSync(join(volumes(), 'web'))).toEqual([]);
  });

  it('are refused with the name of the package that they need [C211]', async () => {
    const disk = {
      look: async (path: string) =>
        path === '/usr/sbin/mkfs.ext4' ? undefined : await nodeDisk().look(path),
    };
    await expect(ready(disk, pod(['data', 8n * mebibyte]))).rejects.toMatchObject({
      code: 'device-unsupported',
      message: expect.stringContaining('install e2fsprogs') as string,
    });
  });

  it('need no space for a set without any', async () => {
    await ready({ look: () => Promise.reject(new Error('looked')) }, pod());
    expect(log).toEqual([]);
  });
});
