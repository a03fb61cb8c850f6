import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AppReport, DeviceReport } from '../../src/wire/report/index.ts';
import { oneBoard } from './board-choice.ts';
import { busybox, busyboxScene } from './busybox-scene.ts';
import type { BuiltImage, Scene } from './scene.ts';

/** Probes with real systemd and crun, and wherryd in its confinement. */
describe.each(oneBoard)('an app with a probe on %s', (boardName) => {
  let scene: Scene;
  let image: BuiltImage;

  beforeAll(async () => {
    ({ scene, image } = await busyboxScene(boardName));
  });
  afterAll(() => scene.stop());

  /** A pod of one app, which owns its volume `/data`. */
  const pod = (exec: readonly string[], annotations: Readonly<Record<string, string>>) => ({
    ...{ name: 'probed-pod', image },
    manifest: {
      volumes: [{ name: 'data', kind: 'empty', uid: 33, gid: 34 }],
      apps: [
        {
          ...{ name: 'web', image: { id: image.id, name: image.name } },
          app: {
            ...{ exec, user: '33', group: '34', supplementaryGIDs: [35], workingDirectory: '/usr' },
            mountPoints: [{ name: 'data', path: '/data' }],
            isolators: [
              { name: 'os/linux/no-new-privileges', value: true },
              { name: 'os/linux/oom-score-adj', value: 250 },
            ],
          },
          annotations: Object.entries(annotations).map(([name, value]) => ({ name, value })),
        },
      ],
    },
  });
  const sleep = [busybox, 'sleep', '1000000'];
  const program = (script: string) => JSON.stringify([busybox, 'sh', '-c', script]);
  const often = {
    'wherry/probe-interval': '1',
    'wherry/probe-failures': '1',
    'wherry/probe-start-period': '0',
    // A late probe would count as a failure.
    'wherry/probe-timeout': '60',
  };
  const appOf = ({ pods }: DeviceReport): AppReport | undefined => pods[0]?.apps[0];
  const unit = async (): Promise<string> =>
    (await scene.board.check('cd /etc/systemd/system; ls -d wherry-pod-probed*-web.service')).trim();
  const show = async (property: string): Promise<string> =>
    (await scene.board.check(`systemctl show -P ${property} '${await unit()}'`)).trim();
  const data = '/var/lib/wherry/pods/*/volumes/data';

  it('is probed by a program with the user and cgroup of the app [C130] [C131]', async () => {
    const look = `pwd >/data/cwd; cd /data; [ -e bad ] && exit 3; [ -e proc ] && exit
      cat /proc/self/oom_score_adj >oom; cat /proc/$$/cgroup >cgroup
      for ns in mnt pid ipc uts net cgroup; do ${busybox} readlink /proc/self/ns/$ns; done >ns; cat /proc/self/status >proc`;
    const event = await scene.deploy(
      scene.desired([
        pod([busybox, 'sh', '-c', `trap 'exit 0' TERM; while :; do sleep 1; done`], {
          ...often,
          'wherry/probe-exec': program(look),
        }),
      ]),
    );
    expect(event, JSON.stringify(event)).toMatchObject({ outcome: 'committed' });
    const main = await show('MainPID');
    const both = (
      await scene.board.check(`cd ${data}
      for file in /proc/${main}/status proc; do grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp):' $file; echo =; done
      for ns in mnt pid ipc uts net cgroup; do readlink /proc/${main}/ns/$ns; done; echo =; cat ns; echo =
      cat oom; echo =; cat cwd`)
    )
      .split('=\n')
      .map((text) => text.trim());
    const [powers, probePowers, namespaces, probeNamespaces, oom, cwd] = both;
    expect(powers?.split('\n')).toHaveLength(10);
    expect(probePowers).toBe(powers);
    expect(probeNamespaces).toBe(namespaces);
    expect([oom, cwd]).toEqual(['250', '/usr']);
    // In the app's own cgroup namespace, the app's cgroup is the root.
    expect(await scene.board.check(`grep '^0:' ${data}/cgroup`)).toBe('0::/\n');
    const report = await scene.report((one) => appOf(one)?.probe?.state === 'passing');
    expect(appOf(report)?.probe).toEqual({ state: 'passing', detail: 'exit status 0' });
  });

  it('is reported when a probe fails and passes again, and keeps running [C130]', async () => {
    const main = await show('MainPID');
    await scene.board.check(`cd ${data} && touch bad`);
    const failing = await scene.report((one) => appOf(one)?.probe?.state === 'failing');
    expect(appOf(failing)?.probe?.detail).toBe('exit status 3');
    expect(failing.pods[0]?.healthy).toBe(false);
    await scene.board.check(`cd ${data} && rm bad`);
    await scene.report((one) => one.pods[0]?.healthy === true);
    expect(await show('MainPID')).toBe(main);
    const lines = await scene.board.check(
      `journalctl --sync; journalctl -b -q -o cat _PID=1 | grep -c 'Probe of app' || true`,
    );
    expect(lines.trim()).toBe('0');
  });

  it('is rolled back when a probe never passes, and no trace of the probe stays [C132]', async () => {
    const hang = program(`trap '' TERM; echo $$ >/data/hangs; while :; do sleep 1; done`);
    const event = await scene.deploy(
      scene.desired([pod(sleep, { ...often, 'wherry/probe-exec': hang, 'wherry/probe-timeout': '1' })]),
    );
    expect(event).toMatchObject({
      outcome: 'rolled-back',
      code: 'probe-failed',
      message: 'app web of pod probed-pod does not pass its probe: no answer within 1 s',
    });
    await scene.report((one) => one.pods[0]?.healthy === true);
    const failed = `systemctl list-units --all --plain --no-legend 'wherry-probe-*' | grep -c failed || true`;
    await expect.poll(() => scene.board.check(failed)).toBe('0\n');
  });

  it('keeps no program of a probe that timed out', async () => {
    const hang = program(`trap '' TERM; [ -e /data/ok ] && exit; touch /data/ok; while :; do sleep 1; done`);
    // The second probe must answer in time; on an emulated board it takes seconds.
    const timeout = boardName === 'native' ? '1' : '20';
    const annotations = { ...often, 'wherry/probe-exec': hang, 'wherry/probe-timeout': timeout };
    const event = await scene.deploy(
      scene.desired([pod(sleep, { ...annotations, 'wherry/probe-start-period': '60' })]),
    );
    expect(event).toMatchObject({ outcome: 'committed' });
    const group = await show('ControlGroup');
    // The probe that passes now has ended within its interval.
    await scene.board.waitFor(
      `[ "$(cat '/sys/fs/cgroup${group}/cgroup.procs')" = ${await show('MainPID')} ]`,
    );
  });

  it('is probed by HTTP and TCP at its port [C130]', async () => {
    const server = [busybox, 'httpd', '-f', '-p', '8099', '-h', '/usr'];
    for (const [annotation, value, detail] of [
      ['wherry/probe-http', '8099/bin/busybox', 'HTTP 200'],
      ['wherry/probe-tcp', '8099', 'port 8099 is open'],
    ] as const) {
      const event = await scene.deploy(
        scene.desired([pod(server, { ...often, 'wherry/probe-start-period': '30', [annotation]: value })]),
      );
      expect(event).toMatchObject({ outcome: 'committed' });
      const report = await scene.report((one) => one.currentVersion === event.version);
      expect(appOf(report)?.probe).toEqual({ state: 'passing', detail });
    }
  });
});
