import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DeviceReport } from '../../src/wire/report/index.ts';
import { everyKind, itOn, itOnce, itOncePerKind } from './board-choice.ts';
import { type BuiltImage, Scene } from './scene.ts';

const healthy = (report: DeviceReport, version: number): boolean =>
  report.currentVersion === version && report.pods.length > 0 && report.pods.every((pod) => pod.healthy);

describe.each(everyKind)('on %s', (boardName) => {
  let scene: Scene;
  let web: BuiltImage;

  const limits = {
    isolators: [
      { name: 'resource/memory', value: { limit: '48Mi' } },
      { name: 'resource/cpu', value: { limit: '500m' } },
      { name: 'wherry/tasks', value: { limit: '20' } },
    ],
  };
  const webPod = () => ({
    ...{ name: 'web', image: web },
    manifest: { isolators: [{ name: 'resource/memory', value: { limit: '64Mi' } }] },
  });
  /** Waits for the page: a running app does not necessarily listen yet. */
  const serves = async (text: string): Promise<void> => {
    const port = await scene.board.forward(8080);
    await expect.poll(async () => (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe(text);
  };
  const mainPid = (report: DeviceReport): number => report.pods[0]?.apps[0]?.pid ?? 0;

  beforeAll(async () => {
    scene = await Scene.start(boardName);
    web = await scene.image('nginx', ['/usr/sbin/nginx', '-e', 'stderr'], {
      app: { user: '33', group: '33', ...limits },
      files: [{ path: '/srv/www/index.html', content: 'the first page\n' }],
    });
  });
  afterAll(async () => {
    await scene.stop();
  });

  it('a signed image commanded over MQTT serves its page and is reported healthy [C40] [C50]', async () => {
    const desired = scene.desired([webPod()]);
    expect(await scene.deploy(desired)).toMatchObject({ outcome: 'committed' });
    const report = await scene.report((latest) => healthy(latest, desired.version));
    const app = report.pods[0]?.apps[0];
    expect(app).toMatchObject({
      state: 'active/running',
      restarts: 0,
      imageId: web.id,
    });
    await serves('the first page\n');
  });

  itOn(boardName, 'controllers')(
    "[A14.2] the kernel has the app's memory, CPU and task limits, and the report shows them [C51]",
    async () => {
      const report = await scene.report((latest) => latest.pods.length === 1);
      const app = report.pods[0]?.apps[0];
      expect(app?.memoryMaxBytes).toBe(48 << 20);
      expect(app?.memoryBytes).toBeGreaterThan(0);
      expect(app?.tasks).toBeGreaterThan(0);
      const cgroup = (await scene.board.check(`sed 's/^0:://' /proc/${mainPid(report)}/cgroup`)).trim();
      expect(cgroup).toMatch(/wherry-pod-web\.[0-9a-f]{8}-main\.service$/);
      const files = await scene.board.check(
        `cd /sys/fs/cgroup${cgroup} && cat memory.max memory.swap.max cpu.max pids.max ../memory.max; head -n 1 cgroup.procs`,
      );
      expect(files.trim().split('\n')).toEqual([
        ...[String(48 << 20), '0', '50000 100000', '20', String(64 << 20), String(mainPid(report))],
      ]);
      const outcomes = report.pods[0]?.isolators.map(({ name, outcome }) => `${name} ${outcome}`);
      expect(outcomes).toEqual(
        expect.arrayContaining([
          'resource/memory enforced',
          'resource/cpu enforced',
          'wherry/tasks enforced',
        ]),
      );
    },
  );

  itOnce(boardName)('the same command again starts nothing [C24]', async () => {
    const before = mainPid(await scene.report((latest) => latest.pods.length === 1));
    const seq = scene.reports.at(-1)?.seq ?? 0;
    await scene.board.check('systemctl restart wherryd');
    const report = await scene.report((latest) => latest.seq !== seq && latest.pods.length === 1);
    expect(mainPid(report)).toBe(before);
  });

  itOnce(boardName)(
    'killing and stopping wherryd, and removing the package, do not touch the app [C60]',
    async () => {
      const before = mainPid(await scene.report((latest) => latest.pods.length === 1));
      const same = async (): Promise<void> => {
        await scene.board.check(
          `test -d /proc/${before} && systemctl is-active 'wherry-pod-web.*-main.service'`,
        );
      };
      await scene.board.check('kill -9 $(systemctl show -P MainPID wherryd)');
      await same();
      await scene.board.waitForUnit('wherryd.service');
      await same();
      await scene.board.check('systemctl stop wherryd');
      await same();
      await scene.board.check('cp /var/lib/dpkg/info/wherry.conffiles /tmp/ 2>/dev/null; dpkg -r wherry', {
        timeoutMs: 180_000,
      });
      await same();
      await serves('the first page\n');
      const count = scene.reports.length;
      await scene.reinstall();
      const report = await scene.report((latest) => scene.reports.length > count && latest.pods.length === 1);
      expect(mainPid(report)).toBe(before);
    },
  );

  itOnce(boardName)(
    'wherryd reconnects to a broker that was down, and starts nothing twice [C3]',
    async () => {
      const before = mainPid(await scene.report((latest) => latest.pods.length === 1));
      const losses = `journalctl --sync; journalctl -u wherryd -o cat | grep -c '^no connection to the broker'`;
      const { stdout: lossesBefore } = await scene.board.run(losses);
      await scene.stopBroker();
      const count = scene.reports.length;
      await scene.board.waitFor(losses, ({ stdout }) => Number(stdout) > Number(lossesBefore));
      await scene.startBroker();
      // The will of the lost connection may arrive last. The device then corrects its presence.
      await scene.report(() => scene.reports.length > count && scene.presence?.up === true);
      const report = await scene.report((latest) => latest.pods.length === 1);
      expect(mainPid(report)).toBe(before);
      expect(scene.events.filter((event) => event.version === report.currentVersion)).toHaveLength(1);
    },
  );

  itOnce(boardName)(
    'a second version is deployed, and rolled back by command without a download',
    async () => {
      const first = scene.reports.at(-1)?.currentVersion ?? 0;
      const second = await scene.image('nginx', ['/usr/sbin/nginx', '-e', 'stderr'], {
        version: '2.0.0',
        app: { user: '33', group: '33', ...limits },
        files: [{ path: '/srv/www/index.html', content: 'the second page\n' }],
      });
      const update = scene.desired([{ name: 'web', image: second }]);
      expect(update.version).toBeGreaterThan(first);
      expect(await scene.deploy(update)).toMatchObject({ outcome: 'committed' });
      await serves('the second page\n');
      const back = scene.desired([webPod()]);
      expect(await scene.deploy(back)).toMatchObject({ outcome: 'committed' });
      await serves('the first page\n');
      const journal = await scene.board.journal(`-u 'wherry-pull@*' -o cat`);
      expect(journal.match(/Starting .*pull/gi)?.length ?? 0).toBeLessThanOrEqual(2);
    },
  );

  itOnce(boardName)('a set that was replaced does not start again with the target [C238]', async () => {
    const shop = scene.desired([{ name: 'shop', image: web }]);
    expect(await scene.deploy(shop)).toMatchObject({ outcome: 'committed' });
    // systemd now has a target in memory that wants the shop. Upgrades of packages reload, too.
    await scene.board.check('systemctl daemon-reload');
    const back = scene.desired([webPod()]);
    expect(await scene.deploy(back)).toMatchObject({ outcome: 'committed' });
    await scene.board.waitFor(
      `systemctl list-units --all --plain --no-legend 'wherry-pod-shop*'`,
      ({ stdout }) => stdout.trim() === '',
    );
    await scene.board.check('systemctl start wherry-pods.target');
    const running = await scene.board.check(
      `systemctl list-units --plain --no-legend 'wherry-pod-*.service'`,
    );
    expect(running.trim().split('\n')).toEqual([expect.stringMatching(/^wherry-pod-web/)]);
  });

  itOnce(boardName)('a pod that keeps failing is rolled back to the previous set [C41] [C47]', async () => {
    const busybox = await scene.image('busybox', ['/usr/bin/busybox', 'sh', '-c', 'echo broken; exit 3']);
    const before = await scene.report((latest) => latest.pods.length === 1);
    const bad = scene.desired([{ name: 'web', image: busybox }]);
    const answer = await scene.deploy(bad);
    expect(answer).toMatchObject({ outcome: 'rolled-back' });
    const code = 'code' in answer ? answer.code : '';
    expect(['probation-failed', 'activation-failed']).toContain(code);
    const report = await scene.report(
      (latest) => latest.deployment?.phase === 'rolled-back' && healthy(latest, before.currentVersion),
    );
    expect(report.deployment).toMatchObject({ version: bad.version, code });
    await serves('the first page\n');
    const failed = `systemctl list-units --state=failed --plain --no-legend 'wherry-*'`;
    await expect.poll(() => scene.board.check(failed)).toBe('');
  });

  itOncePerKind(boardName, 'controllers')(
    'an app above its memory limit is killed, reported and restarted, and an unchanged pod keeps running [C43] [C52]',
    async () => {
      const before = mainPid(await scene.report((latest) => latest.pods.length === 1));
      // The app fills its memory on command: after its probation, and once, because the file is in
      // the layer and disappears with it.
      const hog = await scene.image(
        'busybox',
        ['/usr/bin/busybox', 'sh', '-c', 'until [ -e /tmp/eat ]; do sleep 1; done; tail /dev/zero'],
        { app: { isolators: [{ name: 'resource/memory', value: { limit: '16Mi' } }] } },
      );
      const desired = scene.desired([webPod(), { name: 'hog', image: hog }]);
      expect(await scene.deploy(desired)).toMatchObject({ outcome: 'committed' });
      const hogOf = (latest: DeviceReport) => latest.pods.find((pod) => pod.name === 'hog')?.apps[0];
      const { pid = 0 } =
        hogOf(await scene.report((latest) => hogOf(latest)?.state === 'active/running')) ?? {};
      await scene.board.check(`touch /proc/${pid}/root/tmp/eat`);
      const report = await scene.report((latest) => (hogOf(latest)?.restarts ?? 0) > 0, 180_000);
      expect(hogOf(report)).toMatchObject({ lastResult: 'oom-kill' });
      expect(hogOf(report)?.oomKills).toBeGreaterThan(0);
      expect(report.pods.find((pod) => pod.name === 'web')?.apps[0]?.pid).toBe(before);
    },
  );

  itOnce(boardName)(
    'the apps of a pod share PID, IPC and UTS namespaces, each in its own root [pods.md]',
    async () => {
      const image = await scene.image('busybox', ['/usr/bin/busybox', 'true']);
      const app = (name: string, script: string) => ({
        name,
        image: { id: image.id },
        app: { exec: ['/usr/bin/busybox', 'sh', '-c', script], user: '0', group: '0' },
        annotations: [{ name: 'wherry/stop-timeout', value: '1' }],
      });
      const desired = scene.desired([
        {
          name: 'pair',
          image,
          manifest: {
            apps: [
              app('one', 'touch /only-here; exec sleep 424242'),
              app('two', 'while sleep 1; do ps; hostname; ls /; done'),
            ],
          },
        },
      ]);
      expect(await scene.deploy(desired)).toMatchObject({ outcome: 'committed' });
      const { stdout } = await scene.board.waitFor(
        'journalctl -o cat WHERRY_APP=two --no-pager -n 60',
        // One whole round of the loop: the processes, the name, the root.
        ({ stdout: lines }) => /sleep 424242[^]*^pair$[^]*^usr$/m.test(lines),
      );
      expect(stdout).not.toContain('only-here');
      const pids = await scene.board.check(
        "for app in one two; do systemctl show -P MainPID 'wherry-pod-pair.*-'$app.service; done",
      );
      const [one = '', two = ''] = pids.trim().split('\n').filter(Boolean);
      const namespaces = await scene.board.check(
        `for kind in pid ipc uts mnt; do readlink /proc/${one}/ns/$kind /proc/${two}/ns/$kind | sort -u | wc -l; done`,
      );
      expect(namespaces.trim().split('\n')).toEqual(['1', '1', '1', '2']);
    },
  );
});
