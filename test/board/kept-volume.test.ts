import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lacksOf } from '../../qemu/index.ts';
import { itOn, oneBoard } from './board-choice.ts';
import { busybox, busyboxScene } from './busybox-scene.ts';
import type { BuiltImage, Scene } from './scene.ts';

/** Volumes beyond the specification, with real systemd and crun. */
describe.each(oneBoard)('a volume of a pod on %s', (boardName) => {
  let scene: Scene;
  let image: BuiltImage;
  const hasLoops = lacksOf(boardName).loop === undefined;
  const limited = (limit: string) => (hasLoops ? `data, store${limit}` : 'data');

  beforeAll(async () => {
    ({ scene, image } = await busyboxScene(boardName, { powerLoss: true }));
  });
  afterAll(() => scene.stop());

  /** A set of one pod, whose only app runs `script` and keeps running. */
  const set = (name: string, script: string, kept = limited('=16Mi')) =>
    scene.desired([
      {
        ...{ name, image },
        manifest: {
          volumes: Object.entries({ data: '2750', cache: '0700', store: '2750' }).map(([volume, mode]) => ({
            ...{ name: volume, kind: 'empty', mode, uid: 33, gid: 34 },
          })),
          apps: [
            {
              ...{ name: 'main', image: { id: image.id, name: image.name } },
              app: {
                ...{ exec: [busybox, 'sh', '-c', `${script}; exec sleep 1000000`], user: '33', group: '34' },
                mountPoints: ['data', 'cache', 'store'].map((volume) => ({
                  name: volume,
                  path: `/${volume}`,
                })),
              },
            },
          ],
          annotations: [
            { name: 'wherry/kept-volumes', value: kept },
            { name: 'wherry/memory-volumes', value: 'cache=1Mi' },
          ],
        },
      },
    ]);
  const deploy = async (name: string, script: string, kept?: string) =>
    expect(await scene.deploy(set(name, script, kept))).toMatchObject({ outcome: 'committed' });
  const exec = (command: string) => scene.board.run(`wherry exec web main -- ${busybox} ${command}`);
  /** Waits for the lines of a file. A started app has not necessarily written its own yet. */
  const lines = (path: string, ...expected: readonly string[]) =>
    expect
      .poll(async () => (await exec(`cat ${path}`)).stdout)
      .toBe(expected.map((line) => `${line}\n`).join(''));

  it('keeps its content for the next version of the pod when it is kept [C135]', async () => {
    await deploy('web', 'echo one >/data/versions; echo one >/store/versions');
    await deploy('web', 'echo two >>/data/versions; echo two >>/store/versions');
    await lines('/data/versions', 'one', 'two');
    expect(await exec("stat -c '%a %u %g' /data")).toMatchObject({ stdout: '2750 33 34\n' });
  });

  it('in memory takes no more than its size [C136]', async () => {
    const { status, stderr } = await exec('dd if=/dev/zero of=/cache/file bs=64k count=20');
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/no space left/i);
    const { stdout } = await exec("stat -c '%s %u' /cache/file");
    expect(stdout).toBe(`${1 << 20} 33\n`);
    expect(await exec('grep /cache /proc/mounts')).toMatchObject({
      stdout: expect.stringMatching(/^tmpfs \/cache tmpfs rw,nosuid,nodev.*mode=700/) as string,
    });
  });

  const onLoops = itOn(boardName, 'loop');

  onLoops('with a limit fails writes to it when it is full, and no others [C210]', async () => {
    await lines('/store/versions', 'one', 'two');
    expect(await exec("stat -c '%a %u %g' /store")).toMatchObject({ stdout: '2750 33 34\n' });
    const filling = `wherry exec web main -- ${busybox} dd if=/dev/zero of=/store/file bs=1M count=20`;
    const { status, stderr } = await scene.board.run(filling, { timeoutMs: 240_000 });
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/no space left/i);
    await scene.board.check('dd if=/dev/zero of=/var/lib/beside bs=1M count=32 && rm /var/lib/beside');
    expect(await exec('grep " /store " /proc/mounts')).toMatchObject({
      stdout: expect.stringMatching(/^\S+ \/store ext4 rw,nosuid,nodev,/) as string,
    });
    expect(JSON.parse(await scene.board.check('wherry volume list --json'))).toContainEqual({
      ...{ pod: 'web', volume: 'store', inUse: true, limitBytes: 16 << 20 },
      usedBytes: expect.any(Number) as number,
    });
    await exec('rm /store/file');
  });

  itOn(
    boardName,
    'loop',
    'resize',
  )('with a limit keeps its content when it grows [C212]', async () => {
    await deploy('web', 'echo three >>/store/versions', limited('=48Mi'));
    expect(await exec('dd if=/dev/zero of=/store/file bs=1M count=32')).toMatchObject({ status: 0 });
    await lines('/store/versions', 'one', 'two', 'three');
    await exec('rm /store/file');
  });

  it.skipIf(lacksOf(boardName).resize === undefined || lacksOf(boardName).loop !== undefined)(
    'with a limit keeps its size where the kernel refuses to enlarge it [C212]',
    async () => {
      const state = () => scene.board.check('cd /var/lib/wherry/volumes/web; stat -c "%n %s" *');
      const before = await state();
      expect(await scene.deploy(set('web', 'true', limited('=48Mi')))).toMatchObject({
        ...{ outcome: 'refused', code: 'device-unsupported' },
        message: expect.stringContaining('cannot be enlarged') as string,
      });
      expect(await state()).toBe(before);
    },
  );

  onLoops('is refused a smaller limit, no limit, and one above the free space [C211] [C212]', async () => {
    for (const [limit, code, message] of [
      ['=8Mi', 'pod-volume-invalid', /cannot be made smaller/],
      ['', 'pod-volume-invalid', /has a limit on this device/],
      ['=1Ti', 'no-space', /only .* free above the reserve/],
    ] as const) {
      expect(await scene.deploy(set('web', 'true', limited(limit)))).toMatchObject({
        ...{ outcome: 'refused', code },
        message: expect.stringMatching(message) as string,
      });
    }
    expect(await scene.board.check('ls /var/lib/wherry/volumes/web')).toBe('data\nstore.ext4\n');
  });

  onLoops('with a limit is mounted after a power cut, without wherryd [C210]', async () => {
    const versions = '/run/wherry/volumes/web/store/versions';
    await scene.board.check(`systemctl disable wherryd && rm ${versions} && sync`);
    await scene.board.powerCut();
    await scene.board.bootAgain();
    // The app writes a line at each start.
    await scene.board.waitFor(`test -s ${versions}`, undefined, 240_000);
    expect(await scene.board.run('systemctl is-active wherryd')).toMatchObject({ stdout: 'inactive\n' });
    await scene.board.check('systemctl enable --now wherryd');
  });

  it('that is kept is removed by command once no stored pod has it [C135] [C213]', async () => {
    const remove = () => scene.board.run('wherry volume rm web data');
    expect(await remove()).toMatchObject({
      status: 64,
      stderr: expect.stringContaining('volume-in-use') as string,
    });
    await deploy('other', 'true');
    expect(await remove()).toMatchObject({ status: 64 });
    await deploy('other', ':');
    await scene.board.check('wherry gc');
    // Each check starts Node, which takes up to half a minute on an emulated board.
    await scene.board.waitFor('wherry volume list | grep -q "web .* no"', undefined, 240_000);
    expect(await remove()).toMatchObject({ status: 0 });
    const listed = async () => JSON.parse(await scene.board.check('wherry volume list --json')) as object[];
    if (hasLoops) {
      expect(await listed()).toContainEqual({
        ...{ pod: 'web', volume: 'store', inUse: false, limitBytes: expect.any(Number) as number },
      });
      // A native board sees the loop devices of the whole machine, so the inode identifies its own.
      const store = '/var/lib/wherry/volumes/web/store.ext4';
      const inode = (await scene.board.check(`stat -c '%Hd:%Ld %i' ${store}`)).trim();
      expect(await scene.board.run('wherry volume rm web store')).toMatchObject({ status: 0 });
      const devices = `losetup -n -O BACK-MAJ:MIN,BACK-INO | awk '{ print $1, $2 }'`;
      const left = `ls /run/wherry/volumes; ${devices} | grep -xF '${inode}'`;
      await scene.board.waitFor(left, ({ stdout }) => stdout === 'other\n');
    }
    expect(await listed()).toEqual([
      { pod: 'other', volume: 'data', inUse: true },
      ...(hasLoops ? [expect.objectContaining({ pod: 'other', volume: 'store' }) as object] : []),
    ]);
  });
});
