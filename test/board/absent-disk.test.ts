import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DeviceReport } from '../../src/wire/report/report.ts';
import { oneBoard } from './board-choice.ts';
import { type BuiltImage, Scene } from './scene.ts';

/**
 * The disk is present while this file exists. Without it the mount fails, as for an unplugged disk.
 */
const disk = '/run/disk';
const mountPoint = '/mnt/usb-disk';
const mountUnit = String.raw`mnt-usb\x2ddisk.mount`;

describe.each(oneBoard)('a volume on a disk of %s that may be absent', (boardName) => {
  let scene: Scene;
  let image: BuiltImage;
  const links = async () =>
    (await scene.board.check('ls /etc/systemd/system/*.mount.wants 2>/dev/null || true')).trim();
  const service = async (pod: string): Promise<string> =>
    (
      await scene.board.check(
        `cd /etc/systemd/system; ls -d wherry-pod-${pod}.*-main.service | sed 's/\\\\/\\\\\\\\/g'`,
      )
    ).trim();
  const state = async (unit: string) =>
    (await scene.board.run(`systemctl is-active "${unit}"`)).stdout.trim();
  const isPlugged = async (plugged: boolean) =>
    await scene.board.check(
      plugged
        ? `touch ${disk} && systemctl start '${mountUnit}'`
        : `systemctl stop '${mountUnit}' && rm ${disk}`,
    );

  beforeAll(async () => {
    scene = await Scene.start(boardName);
    const unit = `[Unit]\nAssertPathExists=${disk}\n[Mount]\nWhat=tmpfs\nWhere=${mountPoint}\nType=tmpfs\n`;
    await scene.board.copyIn(Buffer.from(unit), `/etc/systemd/system/${mountUnit}`);
    await scene.board.check(`mkdir -p ${mountPoint}; systemctl daemon-reload`);
    await isPlugged(true);
    const app = `trap 'exit 0' TERM; echo up >/data/started; while :; do /usr/bin/busybox sleep 1; done`;
    image = await scene.image('busybox', ['/usr/bin/busybox', 'sh', '-c', app], {
      app: { mountPoints: [{ name: 'data', path: '/data' }] },
    });
    const volumes = (source: string) => ({ volumes: [{ name: 'data', kind: 'host', source }] });
    // The path leads through a link to the disk, which systemd does not follow.
    await scene.board.check(`mkdir -p /srv/other; ln -s ${mountPoint} /srv/disk`);
    const event = await scene.deploy(
      scene.desired([
        { name: 'disk', image, manifest: volumes('/srv/disk') },
        { name: 'other', image, manifest: volumes('/srv/other') },
      ]),
    );
    expect(event).toMatchObject({ outcome: 'committed' });
  });
  afterAll(() => scene.stop());

  it('delays only its pod at boot, and wherryd reports that', async () => {
    await scene.board.reboot();
    const healthOf = (report: DeviceReport, pod: string) =>
      report.pods.find(({ name }) => name === pod)?.healthy;
    const report = await scene.report(
      (newest) => healthOf(newest, 'disk') === false && healthOf(newest, 'other') === true,
    );
    expect(report.pods.find(({ name }) => name === 'disk')?.apps).toMatchObject([{ state: 'inactive/dead' }]);
    expect((await scene.board.check(`ls -A ${mountPoint}`)).trim()).toBe('');
  });

  it('starts its pod when the disk comes, without wherryd', async () => {
    await scene.board.check('systemctl stop wherryd');
    const unit = await service('disk');
    expect(await state(unit)).toBe('inactive');
    await isPlugged(true);
    await scene.board.waitFor(`systemctl is-active "${unit}" && test -s ${mountPoint}/started`);
  });

  it('stops its pod when the disk is removed, and starts it when the disk is back', async () => {
    const unit = await service('disk');
    await isPlugged(false);
    expect(await state(unit)).toBe('inactive');
    expect(await state(await service('other'))).toBe('active');
    await isPlugged(true);
    await scene.board.waitFor(`systemctl is-active "${unit}" && test -s ${mountPoint}/started`);
  });

  it('starts nothing once its pod has left the set', async () => {
    await scene.board.check('systemctl start wherryd');
    expect(await links()).toContain('wherry-pod-disk.');
    expect(
      await scene.deploy(
        scene.desired([{ name: 'none', image, manifest: { volumes: [{ name: 'data', kind: 'empty' }] } }]),
      ),
    ).toMatchObject({
      outcome: 'committed',
    });
    await expect.poll(links).not.toContain('wherry-pod-');
    await isPlugged(false);
    await isPlugged(true);
    // The start of the disk queues the start of every unit that waits for it. A start that ends
    // after the first command is in the output of the second.
    const starts = `systemctl list-jobs --no-legend 'wherry-pod-disk*'
      systemctl list-units --no-legend --state=active,activating,failed 'wherry-pod-disk*.service'`;
    expect((await scene.board.check(starts)).trim()).toBe('');
  });
});
