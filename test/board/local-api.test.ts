import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DesiredState } from '../../src/wire/trust/desired-state.ts';
import { type DescribedApi, describedApi } from '../support/described-api.ts';
import { oneBoard } from './board-choice.ts';
import { Scene } from './scene.ts';

const busybox = '/usr/bin/busybox';
const socket = '/run/wherry/api.sock';

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** The local API of a real device, asked with curl. */
describe.each(oneBoard)('the local API on %s', (name) => {
  let scene: Scene;
  let desired: DesiredState;
  let described: DescribedApi;

  /** What curl prints, as `user`. */
  const curl = (words: string, user = 'root') =>
    scene.board.run(
      `setpriv --reuid=${user} --regid=${user} --init-groups curl -sS --max-time 90 -w '\\n%{http_code}' --unix-socket ${socket} ${words}`,
    );
  /** One exchange, held against docs/local-api.yaml. */
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
    scene = await Scene.start(name, { config: '[api]\ngroup = "operators"\n' });
    await scene.board.check(
      'groupadd operators; useradd -M -G operators anna; useradd -M ben; systemctl restart wherryd',
    );
    const image = await scene.image('busybox', [
      ...[busybox, 'sh', '-c'],
      'trap "exit 0" TERM; echo begins; sleep 1000000 & wait',
    ]);
    const annotations = [
      { name: 'wherry/probe-exec', value: `["${busybox}", "true"]` },
      { name: 'wherry/probe-interval', value: '1' },
    ];
    const manifest = { annotations: [{ name: 'wherry/network', value: 'bridge' }] };
    desired = scene.desired([{ name: 'web', image, app: { annotations }, manifest }]);
    const answer = await scene.deploy(desired);
    expect(answer, JSON.stringify(answer)).toMatchObject({ outcome: 'committed' });
    await scene.report(({ currentVersion }) => currentVersion === desired.version);
  });
  afterAll(() => scene.stop());

  it('[C180] answers root and the group of the configuration, and nobody else', async () => {
    for (const user of ['root', 'anna']) {
      // wherryd writes its record beside the report.
      await expect
        .poll(() => get('status', user), { timeout: 30_000, interval: 200 })
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

  it('[C181] agrees with its description, and with what the commands print', async () => {
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
  });

  it('[C184] shows the probe, the network and the use of a pod', async () => {
    const latest = await scene.report(({ pods }) => pods[0]?.apps[0]?.probe?.state === 'passing');
    // wherryd writes its record beside the report.
    await expect
      .poll(async () => (await get('pods/web')).body, { timeout: 30_000, interval: 200 })
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

  it('sets, lists and removes locks and approvals', async () => {
    const wanted = { reason: 'the harvester runs', seconds: 600, keep: true };
    expect(await ask('PUT', 'locks/harvest', wanted, 'anna')).toMatchObject({
      status: 200,
      body: { name: 'harvest', path: '/var/lib/wherry/locks/harvest', reason: 'the harvester runs' },
    });
    expect(await get('locks')).toMatchObject({ body: [{ name: 'harvest' }] });
    expect(await scene.board.check('wherry lock list')).toContain('the harvester runs');
    expect(await ask('DELETE', 'locks/harvest')).toMatchObject({ status: 200 });
    expect(await get('locks')).toMatchObject({ body: [] });
    expect(await ask('PUT', 'approvals/12')).toEqual({ status: 200, body: { version: 12 } });
    await scene.board.check('test -e /run/wherry/approvals/12');
  });

  it('has wherryd collect garbage', async () => {
    const pid = Number(await scene.board.check('systemctl show -P MainPID wherryd'));
    await scene.board.check('mkdir /var/lib/wherry/pods/0123abcd-0000-8000-8000-000000000000');
    expect(await get('garbage')).toMatchObject({
      body: { garbage: [{ path: expect.stringContaining('0123abcd') as string }] },
    });
    expect(await ask('POST', 'garbage/collect')).toEqual({ status: 200, body: { asked: pid } });
    await scene.board.waitFor(
      'ls /var/lib/wherry/pods',
      ({ stdout }) => !stdout.includes('0123abcd'),
      60_000,
    );
  });

  it('drives a device in the example of the docs', async () => {
    const example = join(import.meta.dirname, '../../docs/examples/with-pod-stopped.mjs');
    await scene.board.copyIn(example, '/tmp/with-pod-stopped.mjs');
    const before = await pidOf();
    const inside = `wherry pod list --json >/tmp/inside; wherry lock list >>/tmp/inside; exit 3`;
    const { status, stderr } = await scene.board.run(`node /tmp/with-pod-stopped.mjs web sh -c '${inside}'`);
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

  it('[C183] runs without the powers of root, and reads no key and no password', async () => {
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
