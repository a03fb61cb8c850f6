import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { oneBoard } from './board-choice.ts';
import { busybox, busyboxScene } from './busybox-scene.ts';
import type { BuiltImage, Scene } from './scene.ts';

/** `[allow]` of wherry.toml, with real systemd and crun, and wherryd in its confinement. */
describe.each(oneBoard)('the list of what pods may have on %s', (boardName) => {
  let scene: Scene;
  let image: BuiltImage;

  beforeAll(async () => {
    ({ scene, image } = await busyboxScene(boardName));
  });
  afterAll(() => scene.stop());

  /**
   * A set of one pod with one app, which has the fields `more` and, if given, a host volume at
   * `/data`.
   */
  const set = (source: string | undefined, more: object = {}) =>
    scene.desired([
      {
        ...{ name: 'web', image },
        manifest: {
          ...(source === undefined ? {} : { volumes: [{ name: 'data', kind: 'host', source }] }),
          apps: [
            {
              ...{ name: 'main', image: { id: image.id, name: image.name } },
              app: {
                ...{ exec: [busybox, 'sleep', '1000000'], user: '0', group: '0' },
                mountPoints: source === undefined ? [] : [{ name: 'data', path: '/data' }],
                ...more,
              },
            },
          ],
        },
      },
    ]);
  const mainPid = async (): Promise<string> =>
    (
      await scene.board.check(
        `cd /etc/systemd/system; systemctl show -P MainPID "$(ls -d wherry-pod-web.*-main.service)"`,
      )
    ).trim();
  const inApp = (command: string) => scene.board.run(`wherry exec web main -- ${busybox} ${command}`);

  it('refuses a pod with another field, and leaves running pods alone [C162]', async () => {
    expect(await scene.deploy(set(undefined))).toMatchObject({ outcome: 'committed' });
    const before = await mainPid();
    expect(await scene.deploy(set('/etc'))).toMatchObject({
      outcome: 'refused',
      code: 'pod-forbidden',
      message:
        'pod web: volumes/data/source: "/etc" is not below a path of allow.volumes of wherry.toml on this device',
    });
    expect(await mainPid()).toBe(before);
  });

  it('refuses a link that leads out of the allowed paths [C163] [A13.8]', async () => {
    await scene.board.check('mkdir -p /srv/real && ln -s /etc /srv/out && ln -s real /srv/in');
    expect(await scene.deploy(set('/srv/out'))).toMatchObject({
      outcome: 'refused',
      code: 'pod-forbidden',
      message: expect.stringContaining('"/etc" is not below a path of allow.volumes') as string,
    });
    expect(await scene.deploy(set('/srv/in'))).toMatchObject({ outcome: 'committed' });
  });

  it('permits what the configuration adds, and refuses what it no longer lists [C162]', async () => {
    await scene.configure('[allow]\nvolumes = ["/etc"]\nroot = false\n');
    expect(await scene.deploy(set('/etc'))).toMatchObject({
      outcome: 'refused',
      message: expect.stringContaining('app main: user: it is user 0') as string,
    });
    const modest = {
      ...{ user: '33', group: '33' },
      isolators: [{ name: 'os/linux/no-new-privileges', value: true }],
    };
    expect(await scene.deploy(set('/etc', modest))).toMatchObject({ outcome: 'committed' });
    expect(await inApp('cat /data/hostname')).toMatchObject({
      status: 0,
      stdout: await scene.board.check('cat /etc/hostname'),
    });
  });
});
