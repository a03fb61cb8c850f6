import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lacksOf, loadBoardConfig } from '../../qemu/index.ts';
import type { DeviceReport } from '../../src/wire/report/index.ts';
import { boardsFor, itOn } from './board-choice.ts';
import { type BuiltImage, Scene } from './scene.ts';

/**
 * The header of the one block of an xz file, after the file's own header (xz-file-format.txt, 2.1.1
 * and 3.1).
 */
const blockAt = 12;
/**
 * The offset of the dictionary's size in the header of a block with one filter, and the value for 1
 * GiB (5.3.1).
 */
const dictionaryAt = blockAt + 4;
const gibibyte = 36;

/**
 * An image that was compressed with a small dictionary and requires one of 1 GiB. The header is
 * changed and its checksum is correct.
 */
async function askForGibibyte(scene: Scene, image: BuiltImage): Promise<BuiltImage> {
  const bytes = await readFile(image.path);
  const headerBytes = ((bytes[blockAt] ?? 0) + 1) * 4;
  bytes[dictionaryAt] = gibibyte;
  const checkAt = blockAt + headerBytes - 4;
  bytes.writeUInt32LE(crc32(bytes.subarray(blockAt, checkAt)), checkAt);
  const path = image.path.replace('.aci', '-hostile.aci');
  await writeFile(path, bytes);
  expect(execFileSync('xz', ['--robot', '-lvv', path], { encoding: 'utf8' })).toMatch(/--lzma2=dict=1GiB/);
  return await scene.offer(path, image);
}

/** The real pull unit, under its own filter of system calls and with its 96 MiB. */
describe.each(boardsFor('32-bit', 'controllers'))('images on %s', (boardName) => {
  const { arch } = loadBoardConfig(boardName).config;
  /**
   * The other architecture that the board runs, unless its CPU has no 32-bit user space:
   * WHERRY_BOARDS=virt-armv8-64bit.
   */
  const other = arch === 'arm64' ? 'armv7l' : 'armv6l';
  const lacks = lacksOf(boardName);
  const runsOther = lacks['32-bit'] === undefined;
  let scene: Scene;

  beforeAll(async () => {
    scene = await Scene.start(boardName);
  });
  afterAll(async () => {
    await scene.stop();
  });

  const exec = [
    '/usr/bin/busybox',
    'sh',
    '-c',
    'busybox uname -m; busybox unshare -U true 2>&1; exec busybox sleep 100000',
  ];
  const image = (name: string, options: Parameters<Scene['image']>[2]) =>
    scene.image('busybox', exec, { name: `example.com/${name}`, ...options });
  const allHealthy = ({ pods }: DeviceReport) => pods.length > 1 && pods.every(({ healthy }) => healthy);
  const capability = (latest: DeviceReport) =>
    latest.capabilities.find(({ name }) => name === `arch-${other}`);

  // One deployment for all, because each is slow.
  if (runsOther) {
    it(`in the compressions that take most memory, one of them labelled ${other}, are pulled and run [C30] [C33] [C35] [C38]`, async () => {
      const pods = [
        { name: 'zstd', image: await image('zstd', { compressor: ['zstd', '-19', '-q'] }) },
        { name: 'xz', image: await image('xz', { compressor: ['xz', '-7'], arch: other }) },
      ];
      expect(await scene.deploy(scene.desired(pods))).toMatchObject({ outcome: 'committed' });
      const report = await scene.report(allHealthy);
      expect(report.pods.map(({ name }) => name)).toEqual(pods.map(({ name }) => name));
      expect(capability(report)).toMatchObject({ available: true });
      // The app sees a 32-bit machine, is a 32-bit program (the class of its ELF header is 1), and
      // runs under the filter.
      const pid = report.pods.find(({ name }) => name === 'xz')?.apps[0]?.pid ?? 0;
      const { stdout: seen } = await scene.board.waitFor(
        `journalctl --sync
        journalctl -b -q -o cat WHERRY_POD=xz _TRANSPORT=stdout
        od -An -tu1 -j4 -N1 /proc/${pid}/root/usr/bin/busybox
        grep ^Seccomp: /proc/${pid}/status`,
        ({ stdout }) => stdout.includes('unshare'),
      );
      const [machine, denied, ...rest] = seen.split('\n').map((line) => line.trim());
      expect(machine).toBe(arch === 'arm64' ? 'armv8l' : 'armv7l');
      expect(denied).toMatch(/unshare.*Operation not permitted/);
      expect(rest).toEqual(['1', 'Seccomp:\t2', '']);
    });
  } else {
    it('in every compression are pulled and run [C30] [C35] [C38]', async () => {
      const pods = [
        { name: 'bzip2', image: await image('bzip2', { compressor: ['bzip2', '-9'] }) },
        { name: 'zstd', image: await image('zstd', { compressor: ['zstd', '-19', '-q'] }) },
        { name: 'xz', image: await image('xz', { compressor: ['xz', '-7'] }) },
      ];
      expect(await scene.deploy(scene.desired(pods))).toMatchObject({ outcome: 'committed' });
      await scene.report(allHealthy);
    });

    itOn(boardName, 'arm')(`labelled ${other} are refused, and the report has the reason [C33]`, async () => {
      const foreign = await image('other', { arch: other });
      const answer = await scene.deploy(scene.desired([{ name: 'other', image: foreign }]));
      expect(answer).toMatchObject({ outcome: 'refused', code: 'image-arch-mismatch' });
      expect(capability(await scene.report(() => true))).toEqual({
        name: `arch-${other}`,
        available: false,
        detail: 'the CPU has no 32-bit user space; deploy images for aarch64',
      });
    });
  }

  it('that need a dictionary of 1 GiB are refused, not killed [C35]', async () => {
    const hostile = await askForGibibyte(scene, await image('hostile', { compressor: ['xz', '-0'] }));
    expect(await scene.deploy(scene.desired([{ name: 'xz', image: hostile }]))).toMatchObject({
      outcome: 'refused',
      code: 'archive-too-large',
      message: expect.stringContaining('20 MiB of memory') as string,
    });
    if (lacks.controllers !== undefined) return;
    const events = await scene.board.check(
      "cat /sys/fs/cgroup/system.slice/'system-wherry\\x2dpull.slice'/memory.events",
    );
    expect(events).toMatch(/^oom 0\noom_kill 0$/m);
  });
});
