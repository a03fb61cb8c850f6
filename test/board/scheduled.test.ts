import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { itOn, oneBoard } from './board-choice.ts';
import { busybox, busyboxScene } from './busybox-scene.ts';
import type { BuiltImage, Scene } from './scene.ts';

/** A pod that real systemd runs by a calendar. */
describe.each(oneBoard)('a scheduled pod on %s', (boardName) => {
  let scene: Scene;
  let image: BuiltImage;

  beforeAll(async () => {
    ({ scene, image } = await busyboxScene(boardName, { config: '[allow]\nvolumes = ["/srv"]\n' }));
    await scene.board.check('mkdir -p /srv/tick; touch /srv/tick/runs');
  });
  afterAll(() => scene.stop());

  /** Each run appends a line, fails while the file `fail` exists, and lasts while `hang` exists. */
  const main =
    'test -e /run-of-setup && exit 9; echo main >>/data/runs; while test -e /data/hang; do sleep 0.1; done; test ! -e /data/fail || exit 7';
  const app = (name: string, script: string, annotations: Readonly<Record<string, string>> = {}) => ({
    ...{ name, image: { id: image.id, name: image.name } },
    app: {
      ...{ exec: [busybox, 'sh', '-c', script], user: '0', group: '0' },
      mountPoints: [{ name: 'data', path: '/data' }],
    },
    annotations: Object.entries(annotations).map(([name, value]) => ({ name, value })),
  });
  const set = (schedule: string, { script = main, probationSeconds = 1 } = {}) =>
    scene.desired(
      [
        {
          ...{ name: 'tick', image },
          manifest: {
            apps: [
              app('setup', 'echo setup >>/data/runs; touch /run-of-setup', { 'wherry/once': 'true' }),
              app('main', script, { 'wherry/after': 'setup' }),
            ],
            volumes: [{ name: 'data', kind: 'host', source: '/srv/tick' }],
            annotations: Object.entries({
              ...{ 'wherry/schedule': schedule, 'wherry/schedule-missed': 'run' },
              ...{ 'wherry/network': 'bridge', 'wherry/metadata': 'true' },
            }).map(([name, value]) => ({ name, value })),
          },
        },
      ],
      { policy: { probationSeconds, reconnectWindowSeconds: 1, limits: 'best-effort' } },
    );
  const runs = async () => (await scene.board.check('cat /srv/tick/runs')).split('\n').filter(Boolean);
  /** Waits until `count` more runs have ended. */
  const moreRuns = async (count: number) => {
    const before = (await runs()).length;
    await expect.poll(async () => (await runs()).length).toBeGreaterThanOrEqual(before + 2 * count);
  };
  const mainApp = async () =>
    (
      JSON.parse(await scene.board.check('wherry pod inspect tick --json')) as { apps: { app: string }[] }
    ).apps.find(({ app }) => app === 'main');
  /** Units of the pod that are not inactive. */
  const present = async () =>
    (await scene.board.check("systemctl list-units --all --plain --no-legend 'wherry-*tick*'"))
      .split('\n')
      .map((line) => line.split(/ +/))
      .filter(([unit = '', , state]) => unit !== '' && state !== 'inactive')
      .map(([unit = '']) => unit.replace(/tick.[0-9a-f]{8}/, 'tick'))
      .sort();
  /** The units that remain after a successful run. */
  const rest = ['wherry-pod-tick.slice', 'wherry-timer-tick.timer'];
  const stamps = 'ls /var/lib/systemd/timers | grep -c wherry || true';

  it('is committed, and each run goes from its first app to its last [C218]', async () => {
    expect(await scene.deploy(set('*:*:0/2'))).toMatchObject({ outcome: 'committed' });
    await scene.board.waitFor('[ $(grep -c main /srv/tick/runs) -ge 2 ]');
    // Each run begins with the first app, and finds a fresh layer.
    const lines = await runs();
    expect(lines.filter((_, at) => at % 2 === 0)).not.toContain('main');
    expect(lines.filter((_, at) => at % 2 === 1)).not.toContain('setup');
    expect(await scene.board.check(stamps)).toBe('1\n');
  });

  it('runs after a boot without wherryd [C218]', async () => {
    await scene.board.check('systemctl disable wherryd');
    await scene.board.reboot();
    await moreRuns(1);
    expect(await scene.board.run('systemctl is-active wherryd')).toMatchObject({ stdout: 'inactive\n' });
    await scene.board.check('systemctl enable --now wherryd');
  });

  it('is refused if systemd does not know its expression [C219]', async () => {
    const answer = await scene.deploy(set('25:00'));
    expect(answer).toMatchObject({
      ...{ outcome: 'refused', code: 'pod-manifest-invalid' },
      message: expect.stringMatching(/wherry\/schedule: .*'25:00'/) as string,
    });
  });

  it('is rolled back when a run fails in the probation, and runs as before [C220]', async () => {
    expect(await scene.deploy(set('*:*:0/1', { script: 'exit 7', probationSeconds: 60 }))).toMatchObject({
      ...{ outcome: 'rolled-back', code: 'probation-failed' },
      message: expect.stringMatching(/^app main of pod \S+ ended with exit-code/) as string,
    });
    await moreRuns(1);
  });

  it('keeps neither timer nor run of the previous version, and waits [C220] [C284]', async () => {
    await scene.board.check('touch /srv/tick/hang');
    await scene.board.waitFor("systemctl is-active 'wherry-run-tick.*.target'");
    expect(await scene.deploy(set('*-01-01 00:00:00 UTC; *-02-30'))).toMatchObject({ outcome: 'committed' });
    const over = { outcome: 'modified', detail: 'does not occur again: *-02-30' };
    await scene.report(({ pods }) =>
      JSON.stringify(pods[0]?.isolators).includes(
        JSON.stringify({ app: '', name: 'wherry/schedule', ...over }),
      ),
    );
    await expect.poll(present).toEqual(['wherry-timer-tick.timer']);
    const before = await runs();
    expect(await scene.board.check("ls /etc/systemd/system | grep -c '^wherry-timer-'")).toBe('1\n');
    expect(await scene.board.check(stamps)).toBe('1\n');
    // The timer of the previous version would elapse at the same times as this one. A run that it
    // started would stay active while the file `hang` exists.
    await scene.board.check(
      "systemd-run --unit=beside --on-calendar='*:*:0/1' --timer-property=AccuracySec=1s sh -c 'echo >>/run/beside'",
    );
    await scene.board.waitFor('[ $(wc -l </run/beside) -ge 3 ] && systemctl stop beside.timer');
    expect(await present()).toEqual(['wherry-timer-tick.timer']);
    expect(await scene.board.check("systemctl list-jobs --no-legend 'wherry-*tick*'")).toBe('');
    expect(await runs()).toEqual(before);
    await scene.board.check('rm /srv/tick/hang');
  });

  it('runs by command, keeps the result, and leaves only its timer [C218] [C221] [C222]', async () => {
    // wherry may take an app that fails at once for one that did not start.
    await scene.board.check('touch /srv/tick/fail; wherry pod start tick || true');
    await expect.poll(present).toEqual(['wherry-pod-tick-main.service', ...rest]);
    expect(await scene.board.check('ls /run/netns 2>/dev/null | grep -c tick || true')).toBe('0\n');
    expect(await mainApp()).toMatchObject({
      activeState: 'failed',
      runs: {
        next: expect.stringMatching(/^\d{4}-01-01T00:00:00Z$/) as string,
        ...{ lastResult: 'exit-code', exitStatus: 7, lastEnd: expect.stringMatching(/Z$/) as string },
      },
    });
    await scene.report(
      ({ pods: [pod] }) => pod?.healthy === false && pod.apps[1]?.lastResult === 'exit-code',
    );
    // The failed run causes no rollback.
    expect(scene.events.at(-1)).toMatchObject({ outcome: 'committed' });
  });

  it('starts nothing during a run, and every app at the next one [C218]', async () => {
    const first = await runs();
    const begun = (...lines: readonly string[]) => expect.poll(runs).toEqual([...first, ...lines]);
    await scene.board.check('rm /srv/tick/fail; touch /srv/tick/hang; wherry pod start tick');
    await begun('setup', 'main');
    // The first start is that of the timer; the second waits for an app that has ended.
    await scene.board.check(
      'cd /etc/systemd/system; systemctl start wherry-run-tick.*.target; systemctl start wherry-pod-tick.*-setup.service',
    );
    expect(await runs()).toEqual([...first, 'setup', 'main']);
    await scene.board.check('wherry pod restart tick');
    await begun('setup', 'main', 'setup', 'main');
    await scene.board.check('rm /srv/tick/hang');
    await expect.poll(present).toEqual(rest);
  });

  it('is stopped by command, and its timer stays active [C222]', async () => {
    await scene.board.check('touch /srv/tick/hang; wherry pod start tick');
    await expect
      .poll(present)
      .toEqual(expect.arrayContaining(['wherry-run-tick.target', 'wherry-pod-tick-main.service']));
    const { stderr } = await scene.board.run('wherry pod stop tick');
    expect(stderr).toContain('note: tick runs again by its schedule');
    await expect.poll(present).toEqual(rest);
    await scene.report(({ pods: [pod] }) => pod?.healthy === true && pod.apps[1]?.lastResult === 'success');
  });

  it('makes up for a run that was missed [C214]', async () => {
    const before = (await runs()).length;
    await scene.board.check(`rm /srv/tick/hang
      timer=$(cd /etc/systemd/system; ls wherry-timer-*.timer)
      systemctl stop "$timer"
      touch -d 2020-01-01 "/var/lib/systemd/timers/stamp-$timer"
      systemctl start "$timer"`);
    await expect.poll(async () => (await runs()).length).toBe(before + 2);
  });

  itOn(boardName, 'clock')(
    'makes up with one run for all that a clock jump skipped [C214] [C218]',
    async () => {
      expect(await scene.deploy(set('Sun *-*-* 03:00:00 UTC'))).toMatchObject({ outcome: 'committed' });
      await scene.report(({ pods: [pod] }) => pod?.healthy === true);
      const before = (await runs()).length;
      // In seconds: the clock, the next start, and the stamp that the last boot left.
      const seconds = async () => {
        const output = await scene.board.check(`timer=$(cd /etc/systemd/system; ls wherry-timer-tick.*.timer)
        date +%s; date -d "$(systemctl show -P NextElapseUSecRealtime "$timer")" +%s
        stat -c %Y "/var/lib/systemd/timers/stamp-$timer"`);
        const [now = 0, next = 0, stamp = 0] = output.trim().split('\n').map(Number);
        return { now, next, stamp };
      };
      /** Waits until `count` runs have ended, none is active, and the next one is in the future. */
      const settled = async (count: number) => {
        await expect.poll(async () => (await runs()).length).toBe(before + 2 * count);
        await expect.poll(present).toEqual(rest);
        const { now, next } = await seconds();
        expect(next).toBeGreaterThan(now);
        expect(await runs()).toHaveLength(before + 2 * count);
        return next;
      };

      await scene.board.check('sync');
      await scene.board.bootAgain({ hardwareClock: new Date(0) });
      await scene.board.waitFor("systemctl is-active 'wherry-timer-tick.*.timer'");
      const behind = await seconds();
      // systemd sets the clock to its own build time at least.
      expect(behind.now).toBeLessThan(behind.stamp);
      expect(behind.next).toBeGreaterThan(behind.now);
      expect(await runs()).toHaveLength(before);

      await scene.board.setClock(new Date());
      const next = await settled(1);
      await scene.board.setClock(new Date(next * 1000 - 2000));
      await settled(2);
      await scene.board.setClock(new Date());
    },
  );
});
