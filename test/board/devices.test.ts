import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { oneBoard } from './board-choice.ts';
import { busybox, busyboxScene } from './busybox-scene.ts';
import type { BuiltImage, Scene } from './scene.ts';

/** The numbers of /dev/net/tun, a driver that every board has. Opening it does nothing. */
const numbers = 'c 10 200';
const node = '/dev/wherry-test';
const link = '/dev/wherry-link';

/** Device nodes of the host in apps, with real systemd and crun. */
describe.each(oneBoard)('a device node of the host on %s', (boardName) => {
  let scene: Scene;
  let image: BuiltImage;

  beforeAll(async () => {
    ({ scene, image } = await busyboxScene(boardName));
    await scene.board.check(`mknod -m 600 ${node} ${numbers} && ln -s wherry-test ${link}`);
  });
  afterAll(() => scene.stop());

  /** An app of user 0 with the capabilities that apps have by default, CAP_MKNOD among them. */
  const app = (name: string, devices?: string) => ({
    ...{ name, image: { id: image.id, name: image.name } },
    app: { exec: [busybox, 'sleep', '1000000'], user: '0', group: '0' },
    annotations: devices === undefined ? [] : [{ name: 'wherry/devices', value: devices }],
  });
  const set = () =>
    scene.desired([
      {
        ...{ name: 'web', image },
        manifest: { apps: [app('writer', node), app('reader', `${link}:r`), app('other')] },
      },
    ]);
  const inApp = async (name: string, script: string): Promise<string> => {
    const { stdout, stderr } = await scene.board.run(
      `wherry exec web ${name} -- ${busybox} sh -c '${script}'`,
    );
    return (stdout + stderr).trim();
  };
  const unitOf = (name: string) => `"$(cd /etc/systemd/system; ls -d wherry-pod-web.*-${name}.service)"`;
  const denied = expect.stringMatching(/operation not permitted/i) as string;

  it('is refused where the device does not allow it [C164]', async () => {
    expect(await scene.deploy(set())).toMatchObject({
      outcome: 'refused',
      code: 'pod-forbidden',
      message: expect.stringContaining(`"${node}" is not in allow.devices`) as string,
    });
  });

  it('is opened by an app that has it, with the permitted access [C164]', async () => {
    await scene.configure('[allow]\ndevices = ["/dev/wherry-*"]\n');
    const event = await scene.deploy(set());
    expect(event, JSON.stringify(event)).toMatchObject({ outcome: 'committed' });
    expect(await inApp('writer', `exec 3<>${node} && echo open`)).toBe('open');
    expect(await inApp('reader', `exec 3<${link} && echo open`)).toBe('open');
    expect(await inApp('reader', `exec 3<>${link} && echo open`)).toEqual(denied);
  });

  it('cannot be created or opened with CAP_MKNOD alone [C164]', async () => {
    expect(await inApp('other', `ls ${node}`)).toMatch(/no such file/i);
    expect(await inApp('other', `${busybox} mknod /dev/mine ${numbers}`)).toEqual(denied);
    expect(await inApp('writer', `${busybox} mknod /dev/mine ${numbers}`)).toEqual(denied);
    // A node that reached its /dev in another way.
    const pid = `$(systemctl show -P MainPID ${unitOf('other')})`;
    await scene.board.check(`mknod /proc/${pid}/root/dev/foreign ${numbers}`);
    expect(await inApp('other', 'exec 3</dev/foreign && echo open')).toEqual(denied);
  });

  it('that is missing delays the app, and the journal reports it [C165]', async () => {
    await scene.board.check(`rm ${node}; systemctl restart --no-block ${unitOf('writer')}`);
    await scene.board.waitFor(
      `journalctl --sync; journalctl -q -o cat -u ${unitOf('writer')} | grep -q 'there is no device ${node};'`,
    );
    await scene.board.check(`mknod -m 600 ${node} ${numbers}`);
    await scene.board.waitFor(`systemctl is-active ${unitOf('writer')}`);
    await expect.poll(() => inApp('writer', `exec 3<>${node} && echo open`)).toBe('open');
  });
});
