import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DesiredState } from '../../src/wire/trust/desired-state.ts';
import { type DescribedApi, describedApi } from '../support/described-api.ts';
import { oneBoard } from './board-choice.ts';
import { Scene } from './scene.ts';

const busybox = '/usr/bin/busybox';
const socket = '/run/wherry/api.sock';

/**
 * How long an exchange may take. It only ends a test that hangs. On an emulated board the start of
 * the service alone takes half a minute.
 */
const patienceSeconds = 400;
const curlOf = (user: string) =>
  `setpriv --reuid=${user} --regid=${user} --init-groups curl -sS --max-time ${patienceSeconds} --unix-socket ${socket}`;
const patience = { timeoutMs: (patienceSeconds + 20) * 1000 };

interface ExecLine {
  readonly stream?: string;
  readonly text?: string;
  readonly base64?: string;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** The local API of a real device, queried with curl. */
describe.each(oneBoard)('the local API on %s', (name) => {
  let scene: Scene;
  let desired: DesiredState;
  /** The next version, with another pod of the same name. */
  let changed: () => DesiredState;
  let described: DescribedApi;

  /** Runs curl as `user`. */
  const curl = (words: string, user = 'root') =>
    scene.board.run(`${curlOf(user)} -w '\\n%{http_code}' ${words}`, patience);
  /** One exchange, checked against docs/local-api.yaml. */
  const ask = async (method: string, path: string, sent?: object, user = 'root'): Promise<Answer> => {
    const data = sent === undefined ? '' : `-d '${JSON.stringify(sent)}'`;
    const { stdout, stderr } = await curl(`-X ${method} ${data} 'http://device/v1/${path}'`, user);
    const lines = stdout.trim().split('\n');
    expect(lines.length, stderr).toBeGreaterThan(1);
    const answer = { status: Number(lines.pop()), body: JSON.parse(lines.join('\n')) as unknown };
    expect(described.faults({ method, path: `/v1/${path}`, sent, ...answer })).toEqual([]);
    return answer;
  };
  const get = (path: string, user = 'root') => ask('GET', path, undefined, user);
  const pidOf = async (): Promise<unknown> =>
    ((await get('pods')).body as readonly { readonly pid: number | null }[])[0]?.pid;

  beforeAll(async () => {
    described = await describedApi();
    scene = await Scene.start(name, { config: '[api]\ngroup = "operators"\nexec = true\n' });
    await scene.board.check(
      'groupadd operators; useradd -M -G operators anna; useradd -M ben; systemctl restart wherryd',
    );
    const image = await scene.image('busybox', [
      ...[busybox, 'sh', '-c'],
      'trap "while test -e /held; do sleep 0.1; done; exit 0" TERM; echo begins; sleep 1000000 & wait',
    ]);
    const annotations = [
      { name: 'wherry/probe-exec', value: `["${busybox}", "true"]` },
      { name: 'wherry/probe-interval', value: '1' },
      // A test holds a stop until wherryd has started, which takes minutes on a slow board.
      { name: 'wherry/stop-timeout', value: '900' },
    ];
    const manifest = { annotations: [{ name: 'wherry/network', value: 'bridge' }] };
    const pod = { name: 'web', image, app: { annotations }, manifest };
    desired = scene.desired([pod]);
    const userAnnotations = { changed: 'yes' };
    changed = () => scene.desired([{ ...pod, manifest: { ...manifest, userAnnotations } }]);
    const answer = await scene.deploy(desired);
    expect(answer, JSON.stringify(answer)).toMatchObject({ outcome: 'committed' });
    await scene.report(({ currentVersion }) => currentVersion === desired.version);
  });
  afterAll(() => scene.stop());

  it('[C180] answers only root and the configured group', async () => {
    for (const user of ['root', 'anna']) {
      // wherryd writes its record beside the report.
      await expect
        .poll(() => get('status', user))
        .toMatchObject({
          status: 200,
          body: {
            ...{ supervisor: 'active', locks: [] },
            report: { device: 'board', currentVersion: desired.version },
          },
        });
    }
    const stranger = await curl('http://device/v1/status', 'ben');
    expect(stranger.status).not.toBe(0);
    expect(stranger.stdout.trim()).toBe('000');
  });

  it('restarts a pod for a member of the group', async () => {
    const before = await pidOf();
    expect(await ask('POST', 'pods/web/restart', undefined, 'anna')).toEqual({
      status: 200,
      body: { pod: 'web', change: 'restart' },
    });
    const after = await pidOf();
    expect(after).toBeGreaterThan(1);
    expect(after).not.toBe(before);
  });

  it('[C181] agrees with its description and with the output of the commands', async () => {
    const wherry = async (words: string) =>
      JSON.parse(await scene.board.check(`wherry ${words} --json`)) as unknown;
    expect(await get('pods')).toEqual({ status: 200, body: await wherry('pod list') });
    expect(await get('images')).toEqual({ status: 200, body: await wherry('image list --on-device') });
    expect(await get('garbage')).toEqual({ status: 200, body: await wherry('gc --dry-run') });
    expect(await get('networks')).toEqual({ status: 200, body: await wherry('network list') });
    expect(await get('networks/bridge')).toEqual({
      status: 200,
      body: await wherry('network inspect bridge'),
    });
    expect(await get('networks/lan')).toMatchObject({ status: 404, body: { error: { code: 'not-found' } } });
    const lines = await get('pods/web/logs?lines=5&app=main');
    expect(lines).toMatchObject({
      status: 200,
      body: expect.arrayContaining([expect.objectContaining({ text: 'begins' })]) as unknown,
    });
    expect(await get('pods/web/logs?since=yesteryear')).toMatchObject({
      status: 400,
      body: { error: { code: 'input-invalid' } },
    });
    // The unit of the network has no app.
    await scene.board.check(
      `systemd-run --quiet --wait -p LogExtraFields=WHERRY_POD=gone echo refused; journalctl --sync`,
    );
    expect(await get('pods/gone/logs?lines=1')).toMatchObject({ body: [{ app: '', text: 'refused' }] });
  });

  it('[C184] shows the probe, the network and the use of a pod', async () => {
    const latest = await scene.report(({ pods }) => pods[0]?.apps[0]?.probe?.state === 'passing');
    // wherryd writes its record beside the report.
    await expect
      .poll(async () => (await get('pods/web')).body)
      .toMatchObject({
        ...{ pod: 'web', uuid: latest.pods[0]?.uuid },
        network: { name: 'bridge', addresses: [expect.stringMatching(/^10\.173\./)] },
        apps: [
          {
            ...{ app: 'main', activeState: 'active', probe: { state: 'passing' } },
            cpuUsec: expect.any(Number) as number,
          },
        ],
      });
    expect((await get('usage')).body).toMatchObject({
      apps: [{ pod: 'web', app: 'main', pid: await pidOf() }],
    });
    const top = JSON.parse(await scene.board.check('wherry top web --json')) as readonly unknown[];
    expect(top).toEqual([expect.objectContaining({ app: 'main', cpuPercent: expect.any(Number) as number })]);
    expect(await scene.board.check('wherry pod inspect web')).toMatch(
      /^web [0-9a-f-]{36}: healthy\nnetwork bridge 10\.173\./,
    );
  });

  const logsOf = (query: string) =>
    `curl -sSN --unix-socket ${socket} 'http://device/v1/pods/web/logs?${query}'`;
  it('[C215] follows the output of a pod until the client disconnects', async () => {
    const following = scene.board.run(
      `${logsOf('follow=true&lines=1')} >/tmp/followed & echo $! >/tmp/pid; wait`,
    );
    const lines = (count: number) =>
      scene.board.waitFor('cat /tmp/followed', ({ stdout }) => stdout.split('\n').length === count + 1);
    await lines(1);
    await ask('POST', 'pods/web/restart');
    for (const line of (await lines(2)).stdout.trim().split('\n')) {
      const value = JSON.parse(line) as unknown;
      expect(value).toMatchObject({ app: 'main', text: 'begins' });
      expect(described.lineFaults('GET', '/v1/pods/web/logs', value)).toEqual([]);
    }
    const followers = 'pgrep -f "^journalctl .*--follow" || echo none';
    expect(await scene.board.check(followers)).not.toBe('none\n');
    await scene.board.check('kill $(cat /tmp/pid)');
    await following;
    await scene.board.waitFor(followers, ({ stdout }) => stdout === 'none\n');
    expect(await get('pods/web/logs?follow=true&since=yesteryear')).toMatchObject({
      status: 400,
      body: { error: { code: 'input-invalid' } },
    });
  });

  /** The output of a program run in the app, each line checked against the description. */
  const exec = async (words: readonly string[], input = '</dev/null', user = 'anna') => {
    const args = words.map((word) => `--url-query 'arg=${word}'`).join(' ');
    const { stdout } = await scene.board.run(
      `${curlOf(user)} -T - -X POST ${args} http://device/v1/pods/web/apps/main/exec ${input}`,
      patience,
    );
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as ExecLine);
    for (const line of lines)
      expect(described.lineFaults('POST', '/v1/pods/web/apps/main/exec', line)).toEqual([]);
    const bytes = (of: string) =>
      Buffer.concat(
        lines
          .filter(({ stream }) => stream === of)
          .map(({ text, base64 }) =>
            text === undefined ? Buffer.from(base64 ?? '', 'base64') : Buffer.from(text),
          ),
      );
    return { stdout: bytes('stdout'), stderr: String(bytes('stderr')), end: lines.at(-1) };
  };
  const sh = (script: string, input?: string) => exec([busybox, 'sh', '-c', script], input);
  /** Everything that an execution may leave behind. */
  const left = `cd /run/wherry; ls -d exec/* exec-* 2>/dev/null; find /sys/fs/cgroup -name 'wherry-exec-*' -printf '%f\\n'; systemctl list-units --all --plain --no-legend 'wherry-exec@*'; pgrep -f '^${busybox} sleep 4321'`;

  it('[C216] runs a program in an app with its input, output and exit status', async () => {
    const said = await exec([busybox, 'sh', '-c', `${busybox} cat; echo two >&2; exit 7`], '<<< "one"');
    expect({ ...said, stdout: String(said.stdout) }).toEqual({
      stdout: 'one\n',
      stderr: 'two\n',
      end: { exit: 7 },
    });
    expect((await sh('kill -9 $$')).end).toEqual({ exit: 137 });
    // Binary data, and more than the pipes hold.
    const sent = 'head -c 3000000 /dev/urandom | tee /tmp/random |';
    const { stdout, end } = await exec([busybox, 'cat'], `< <(${sent} cat)`);
    expect(end).toEqual({ exit: 0 });
    expect(createHash('sha256').update(stdout).digest('hex')).toBe(
      (await scene.board.check('sha256sum /tmp/random')).split(' ')[0],
    );
    expect((await scene.board.run(left)).stdout).toBe('');
  });

  it('[C216] confines the program like the app', async () => {
    const powers = (status: string) =>
      status.split('\n').filter((line) => /^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)/.test(line));
    const { stdout } = await sh(
      `${busybox} cat /proc/self/status; ${busybox} cat /proc/self/oom_score_adj; ${busybox} ls -l /proc/self/fd/1`,
    );
    const pid = String(await pidOf());
    expect(powers(String(stdout))).toEqual(powers(await scene.board.check(`cat /proc/${pid}/status`)));
    const namespaces = (of: string) =>
      scene.board.check(
        `cd /proc/${of}/ns; for ns in cgroup ipc mnt net pid user uts; do readlink $ns; done; stat -Lc %d:%i /proc/${of}/root`,
      );
    const running = sh(`exec ${busybox} sleep 4321`);
    const found = await scene.board.waitFor(
      `pgrep -f '^${busybox} sleep 4321'`,
      ({ status }) => status === 0,
    );
    const inside = found.stdout.trim();
    expect(await namespaces(inside)).toBe(await namespaces(pid));
    const group = (await scene.board.check(`sed -n s/^0:://p /proc/${pid}/cgroup`)).trim();
    expect(await scene.board.check(`sed -n s/^0:://p /proc/${inside}/cgroup`)).toMatch(
      `${group}/wherry-exec-`,
    );
    // The program ends with the app.
    await ask('POST', 'pods/web/restart');
    expect((await running).end).toEqual({ exit: 137 });
    await scene.board.waitFor(left, ({ stdout: rest }) => rest === '');
  });

  it('[C217] kills the program and what it started when the client disconnects', async () => {
    const begun = `pgrep -f '^${busybox} sleep 4321' | wc -l`;
    const script = `trap "" TERM HUP; ${busybox} setsid ${busybox} sleep 4321 & ${busybox} sleep 4321`;
    const client = scene.board.run(
      `curl -sSN -X POST -G --url-query 'arg=${busybox}' --url-query arg=sh --url-query arg=-c --url-query 'arg=${script}' --unix-socket ${socket} http://device/v1/pods/web/apps/main/exec >/dev/null & echo $! >/tmp/pid; wait`,
    );
    await scene.board.waitFor(begun, ({ stdout }) => Number(stdout) >= 2);
    await scene.board.check('kill -KILL $(cat /tmp/pid)');
    await client;
    await scene.board.waitFor(left, ({ stdout }) => stdout === '');
    expect((await get('pods')).body).toMatchObject([{ activeState: 'active' }]);
  });

  it('[C217] leaves nothing of a program when the service dies', async () => {
    const client = sh(`exec ${busybox} sleep 4321`).catch((error: unknown) => error);
    await scene.board.waitFor(`pgrep -f '^${busybox} sleep 4321'`, ({ status }) => status === 0);
    await scene.board.check('systemctl kill -s KILL wherry-api.service');
    await client;
    await scene.board.waitFor(left, ({ stdout }) => stdout === '');
  });

  it.each([
    ['pods/other/apps/main/exec?arg=x', 404, 'not-found', 'there is no pod "other" here'],
    ['pods/web/apps/side/exec?arg=x', 404, 'not-found', 'the pod web has no app "side"'],
    ['pods/web/apps/main/exec', 400, 'input-invalid', 'arg takes the program'],
    ['pods/web/apps/main/exec?arg=a%00b', 400, 'input-invalid', 'arg takes the program'],
    ['pods/web/apps/main/exec?user=0', 400, 'input-invalid', 'there is no parameter "user"'],
  ])('[C216] refuses %s', async (path, status, code, message) => {
    expect(await ask('POST', path)).toMatchObject({
      status,
      body: { error: { code, message: expect.stringContaining(message) as string } },
    });
  });

  it('[C216] refuses a program that does not exist, and an app that does not run', async () => {
    expect((await exec(['nothing'])).end).toMatchObject({
      error: {
        code: 'not-found',
        message: expect.stringContaining('"nothing" was not run in the app main') as string,
      },
    });
    await ask('POST', 'pods/web/stop');
    expect(await ask('POST', 'pods/web/apps/main/exec?arg=x')).toMatchObject({
      status: 404,
      body: {
        error: {
          code: 'not-found',
          message: expect.stringContaining('the app main of the pod web does not run') as string,
        },
      },
    });
    await ask('POST', 'pods/web/start');
    expect((await scene.board.run(left)).stdout).toBe('');
  });

  it('[C276] sets, lists and removes locks, and approves only versions that are not past', async () => {
    const wanted = { reason: 'the harvester runs', seconds: 600, keep: true };
    expect(await ask('PUT', 'locks/harvest', wanted, 'anna')).toMatchObject({
      status: 200,
      body: { name: 'harvest', path: '/var/lib/wherry/locks/harvest', reason: 'the harvester runs' },
    });
    expect(await get('locks')).toMatchObject({ body: [{ name: 'harvest' }] });
    expect(await scene.board.check('wherry lock list')).toContain('the harvester runs');
    expect(await ask('DELETE', 'locks/harvest')).toMatchObject({ status: 200 });
    expect(await get('locks')).toMatchObject({ body: [] });
    const [past, later] = [desired.version, desired.version + 10];
    expect(await ask('PUT', `approvals/${later}`)).toEqual({ status: 200, body: { version: later } });
    for (const path of [`approvals/${past}`, `approvals/${later}?group=harvesters`]) {
      expect(await ask('PUT', path)).toMatchObject({ status: 404, body: { error: { code: 'not-found' } } });
    }
    expect(await scene.board.check('ls /run/wherry/approvals')).toBe(`${later}\n`);
    const refused = await scene.board.run(`wherry approve ${past}`);
    expect(refused).toMatchObject({ status: 64, stdout: '' });
    expect(refused.stderr).toContain(`version ${past} waits for no approval: it was committed`);
  });

  it('[C257] starts no pod of a version that waits for its activation', async () => {
    const pods = async () =>
      (await get('pods')).body as readonly { readonly pod: string; readonly unit: string }[];
    const [before] = await pods();
    await ask('PUT', 'locks/harvest', { reason: 'the harvester runs', seconds: 3600 });
    const held = changed();
    await scene.send(await scene.sign(held));
    await scene.report(
      ({ deployment }) => deployment?.version === held.version && deployment.phase === 'wait',
    );

    expect(await scene.board.check('ls /etc/systemd/system/wherry-pod-web.*-main.service | wc -l')).toBe(
      '2\n',
    );
    for (const change of ['restart', 'stop', 'start']) {
      expect(await ask('POST', `pods/web/${change}`)).toMatchObject({ status: 200 });
      expect(await pods()).toMatchObject([{ pod: 'web', unit: before?.unit }]);
    }
    const running = await scene.board.check("systemctl list-units --state=active 'wherry-pod-web.*.service'");
    expect(running.match(/wherry-pod-\S+\.service/g)).toEqual([before?.unit]);

    await ask('DELETE', 'locks/harvest');
    expect(await scene.answer(held.version)).toMatchObject({ outcome: 'committed' });
    desired = held;
    const [after] = await pods();
    expect(after?.unit).not.toBe(before?.unit);
  });

  it('has wherryd collect garbage', async () => {
    const pid = Number(await scene.board.check('systemctl show -P MainPID wherryd'));
    await scene.board.check('mkdir /var/lib/wherry/pods/0123abcd-0000-8000-8000-000000000000');
    expect(await get('garbage')).toMatchObject({
      body: { garbage: [{ path: expect.stringContaining('0123abcd') as string }] },
    });
    expect(await ask('POST', 'garbage/collect')).toEqual({ status: 200, body: { asked: pid } });
    await scene.board.waitFor('ls /var/lib/wherry/pods', ({ stdout }) => !stdout.includes('0123abcd'));
  });

  it('supports the example of the docs', async () => {
    const example = join(import.meta.dirname, '../../docs/examples/with-pod-stopped.mjs');
    await scene.board.copyIn(example, '/tmp/with-pod-stopped.mjs');
    const before = await pidOf();
    const inside = `wherry pod list --json >/tmp/inside; wherry lock list >>/tmp/inside; exit 3`;
    const command = `node /tmp/with-pod-stopped.mjs web sh -c '${inside}'`;
    const { status, stderr } = await scene.board.run(command, patience);
    expect(stderr).toMatch(/web\/main runs again as process \d+/);
    expect(status).toBe(3);
    const seen = await scene.board.check('cat /tmp/inside');
    expect(seen).toContain('"activeState":"inactive"');
    expect(seen).toContain('with-pod-stopped');
    expect(await pidOf()).not.toBe(before);
    expect((await get('locks')).body).toEqual([]);
    const unknown = await scene.board.run('node /tmp/with-pod-stopped.mjs other true');
    expect(unknown.stderr).toContain('there is no pod "other" here; pods: web (not-found)');
    expect((await get('locks')).body).toEqual([]);
  });

  it('[C246] stops a pod that a start of wherryd starts meanwhile', async () => {
    const hold = async (word: string) => {
      const root = `/proc/${String(await pidOf())}/root`;
      await scene.board.check(`${word} ${root}/held`);
    };
    const unit = (
      await scene.board.check("ls /etc/systemd/system | grep '^wherry-pod-web.*service$'")
    ).trim();
    const state = `systemctl show -P ActiveState '${unit}'`;
    await hold('touch');
    const stop = scene.board.run('wherry pod stop web', patience);
    await scene.board.waitFor(state, ({ stdout }) => stdout === 'deactivating\n');
    await scene.board.check('systemctl restart --no-block wherryd');
    // wherryd's start has replaced the stop.
    await scene.board.waitFor(
      `systemctl list-jobs --plain --no-legend | grep -F '${unit}' | awk '{print $3}'`,
      ({ stdout }) => stdout === 'start\n',
    );
    await hold('rm');
    expect(await stop).toMatchObject({ status: 0 });
    await scene.board.check('systemctl is-active wherryd');
    expect(await scene.board.run(state)).toMatchObject({ stdout: 'inactive\n' });
    await ask('POST', 'pods/web/start');
  });

  it('[C181] answers without wherryd', async () => {
    await scene.board.check('systemctl stop wherryd');
    expect(await get('status', 'anna')).toMatchObject({
      status: 200,
      body: { supervisor: 'inactive', report: { currentVersion: desired.version } },
    });
    expect(await ask('POST', 'garbage/collect')).toMatchObject({
      status: 503,
      body: { error: { code: 'device-unsupported' } },
    });
    await scene.board.check('systemctl start wherryd');
  });

  it('[C247] answers after its service has failed often', async () => {
    const dropIn = '/run/systemd/system/wherry-api.service.d';
    await scene.board.check(
      `mkdir -p ${dropIn}; printf '[Service]\\nExecStartPre=false\\n' >${dropIn}/fail.conf; systemctl daemon-reload; systemctl stop wherry-api.service`,
    );
    const answer = get('locks');
    answer.catch(() => undefined);
    await scene.board.waitFor(
      'systemctl show -P NRestarts wherry-api.service',
      ({ stdout }) => Number(stdout) > 6,
    );
    await scene.board.check(`rm -r ${dropIn}; systemctl daemon-reload`);
    expect(await answer).toMatchObject({ status: 200 });
  });

  it('[C183] runs without the privileges of root, and can read no key and no password', async () => {
    await get('status');
    const pid = (await scene.board.check('systemctl show -P MainPID wherry-api.service')).trim();
    expect(await scene.board.check(`grep -E '^CapBnd|^NoNewPrivs' /proc/${pid}/status`)).toBe(
      'CapBnd:\t0000000000000004\nNoNewPrivs:\t1\n',
    );
    const within = `nsenter -m -t ${pid}`;
    expect(await scene.board.check(`${within} ls -A /etc/wherry`)).not.toMatch(/toml|trust/);
    expect((await scene.board.run(`${within} touch /var/lib/wherry/x /etc/x`)).status).not.toBe(0);
  });
});
