import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { oneBoard } from './board-choice.ts';
import { busybox, busyboxScene } from './busybox-scene.ts';
import type { BuiltImage, Scene } from './scene.ts';

/** Volumes that are more than the specification's, with real systemd and crun. */
describe.each(oneBoard)('a volume of a pod on %s', (boardName) => {
  let scene: Scene;
  let image: BuiltImage;

  beforeAll(async () => {
    ({ scene, image } = await busyboxScene(boardName));
  });
  afterAll(() => scene.stop());

  /** A set of one pod, whose only app runs `script` and goes on. */
  const set = (name: string, script: string) =>
    scene.desired([
      {
        ...{ name, image },
        manifest: {
          volumes: [
            { name: 'data', kind: 'empty', mode: '0750', uid: 33, gid: 34 },
            { name: 'cache', kind: 'empty', mode: '0700', uid: 33, gid: 34 },
          ],
          apps: [
            {
              ...{ name: 'main', image: { id: image.id, name: image.name } },
              app: {
                ...{ exec: [busybox, 'sh', '-c', `${script}; exec sleep 1000000`], user: '33', group: '34' },
                mountPoints: ['data', 'cache'].map((volume) => ({ name: volume, path: `/${volume}` })),
              },
            },
          ],
          annotations: [
            { name: 'wherry/kept-volumes', value: 'data' },
            { name: 'wherry/memory-volumes', value: 'cache=1Mi' },
          ],
        },
      },
    ]);
  const deploy = async (name: string, script: string) =>
    expect(await scene.deploy(set(name, script))).toMatchObject({ outcome: 'committed' });
  const exec = (command: string) => scene.board.run(`wherry exec web main -- ${busybox} ${command}`);

  it('is there for the next version of the pod when it is kept [C135]', async () => {
    await deploy('web', 'echo one >/data/versions');
    await deploy('web', 'echo two >>/data/versions');
    expect(await exec('cat /data/versions')).toMatchObject({ stdout: 'one\ntwo\n' });
    expect(await exec("stat -c '%a %u %g' /data")).toMatchObject({ stdout: '750 33 34\n' });
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

  it('that is kept is removed by command, when no stored pod has it [C135]', async () => {
    const remove = () => scene.board.run('wherry volume rm web data');
    expect(await remove()).toMatchObject({
      status: 64,
      stderr: expect.stringContaining('volume-in-use') as string,
    });
    await deploy('other', 'true');
    expect(await remove()).toMatchObject({ status: 64 });
    await deploy('other', ':');
    await scene.board.check('wherry gc');
    // Each look is a start of Node, which takes an emulated board up to half a minute.
    await scene.board.waitFor('wherry volume list | grep -q "web .* no"', undefined, 240_000);
    expect(await remove()).toMatchObject({ status: 0 });
    expect(JSON.parse(await scene.board.check('wherry volume list --json'))).toEqual([
      { pod: 'other', volume: 'data', inUse: true },
    ]);
  });
});
