import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DesiredState } from '../../src/wire/trust/desired-state.ts';
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

  /** What curl prints, as `user`. */
  const curl = (words: string, user = 'root') =>
    scene.board.run(
      `setpriv --reuid=${user} --regid=${user} --init-groups curl -sS --max-time 90 -w '\\n%{http_code}' --unix-socket ${socket} ${words}`,
    );
  const ask = async (words: string, user = 'root'): Promise<Answer> => {
    const { stdout, stderr } = await curl(words, user);
    const lines = stdout.trim().split('\n');
    expect(lines.length, stderr).toBeGreaterThan(1);
    return { status: Number(lines.pop()), body: JSON.parse(lines.join('\n')) };
  };
  const get = (path: string, user = 'root') => ask(`http://device/v1/${path}`, user);
  const pidOf = async (): Promise<unknown> =>
    ((await get('pods')).body as readonly { readonly pid: number | null }[])[0]?.pid;

  beforeAll(async () => {
    scene = await Scene.start(name, { config: '[api]\ngroup = "operators"\n' });
    await scene.board.check(
      'groupadd operators; useradd -M -G operators anna; useradd -M ben; systemctl restart wherryd',
    );
    const image = await scene.image('busybox', [
      ...[busybox, 'sh', '-c'],
      'trap "exit 0" TERM; echo begins; sleep 1000000 & wait',
    ]);
    desired = scene.desired([{ name: 'web', image }]);
    const answer = await scene.deploy(desired);
    expect(answer, JSON.stringify(answer)).toMatchObject({ outcome: 'committed' });
    await scene.report(({ currentVersion }) => currentVersion === desired.version);
  });
  afterAll(() => scene.stop());

  it('[C180] answers root and the group of the configuration, and nobody else', async () => {
    for (const user of ['root', 'anna']) {
      expect(await get('status', user)).toMatchObject({
        status: 200,
        body: {
          supervisor: 'active',
          report: { device: 'board', currentVersion: desired.version },
          locks: [],
        },
      });
    }
    const stranger = await curl('http://device/v1/status', 'ben');
    expect(stranger.status).not.toBe(0);
    expect(stranger.stdout.trim()).toBe('000');
  });

  it('restarts a pod for a member of the group', async () => {
    const before = await pidOf();
    expect(await ask('-X POST http://device/v1/pods/web/restart', 'anna')).toEqual({
      status: 200,
      body: { pod: 'web', change: 'restart' },
    });
    const after = await pidOf();
    expect(after).toBeGreaterThan(1);
    expect(after).not.toBe(before);
  });
});
