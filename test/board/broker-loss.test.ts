import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { named } from '../support/boards.ts';
import { oneBoard } from './board-choice.ts';
import { busybox } from './busybox-scene.ts';
import { type BuiltImage, Scene } from './scene.ts';

/**
 * The script of an app that cuts the route to the broker while it runs, like a broken VPN. The
 * connection stays open: nothing tells the device that its packets are dropped.
 */
const takesTheWay = `
busybox=/usr/bin/busybox
$busybox ip route add blackhole 10.0.2.2
trap "$busybox ip route del blackhole 10.0.2.2; exit 0" TERM
while :; do $busybox sleep 1000 & wait; done`;

/** The fields that the test reads from a line of the journal. */
interface JournalEntry {
  readonly MESSAGE: string;
  readonly __MONOTONIC_TIMESTAMP: string;
}

/** Even the app of a slow board cuts the route within this time. */
const probationSeconds = 20;
/** The policy of both sets, and how long it lets the broker be unreachable. */
const reconnectWindowSeconds = 1;
const patienceSeconds = reconnectWindowSeconds + 60;

/** It takes three minutes, so only named boards run it. */
describe.runIf(named !== undefined).each(oneBoard)('a pod that cuts %s off from its broker', (boardName) => {
  let scene: Scene;
  let image: BuiltImage;

  beforeAll(async () => {
    scene = await Scene.start(boardName, {
      config: '[allow]\ncapabilities = ["default", "CAP_NET_ADMIN"]\n',
    });
    image = await scene.image('busybox', [busybox, 'sleep', '1000000']);
  });
  afterAll(() => scene.stop());

  const set = (exec?: readonly string[]) => {
    const isolators = [{ name: 'os/linux/capabilities-retain-set', value: { set: ['CAP_NET_ADMIN'] } }];
    const app = exec === undefined ? {} : { app: { exec, user: '0', group: '0', isolators } };
    const state = scene.desired([{ name: 'web', image, app }]);
    return {
      ...state,
      policy: {
        ...state.policy,
        probationSeconds,
        reconnectWindowSeconds,
      },
    };
  };
  const way = () => scene.board.run('ip -4 route show type blackhole');
  /** When wherryd logged the first matching line, in seconds since the board's boot. */
  const loggedAt = async (isWanted: (entry: JournalEntry) => boolean): Promise<number> => {
    const lines = (await scene.board.journal('-u wherryd -o json')).trim().split('\n');
    const entry = lines.map((line) => JSON.parse(line) as JournalEntry).find(isWanted);
    return entry === undefined ? Number.NaN : Number(entry.__MONOTONIC_TIMESTAMP) / 1e6;
  };

  it('is rolled back with the reason, and the device reconnects [C173]', async () => {
    const before = set();
    expect(await scene.deploy(before)).toMatchObject({ outcome: 'committed' });
    const bad = set([busybox, 'sh', '-c', takesTheWay]);
    await scene.send(await scene.sign(bad));
    await scene.board.waitFor('ip -4 route show type blackhole', ({ stdout }) => stdout.includes('10.0.2.2'));
    expect(await scene.answer(bad.version, 240_000)).toMatchObject({
      outcome: 'rolled-back',
      code: 'probation-failed',
      message: expect.stringContaining('broker') as string,
    });
    const report = await scene.report(
      ({ deployment, pods }) => deployment?.phase === 'rolled-back' && pods[0]?.healthy === true,
    );
    expect(report.currentVersion).toBe(before.version);
    expect(report.pods).toHaveLength(1);
    expect((await way()).stdout).toBe('');

    // Times of the board's own clock. wherryd logs `rolled-back` when the previous set runs.
    const begun = await loggedAt(({ MESSAGE }) => MESSAGE === `version ${bad.version}: activate`);
    const undone = await loggedAt(({ MESSAGE }) => MESSAGE.startsWith(`version ${bad.version}: rolled-back`));
    // How much later is a matter of the processor: the previous set must start.
    process.stdout.write(`broker-loss: undone ${(undone - begun).toFixed(2)} s after its activation began\n`);
    // The device checks once a second.
    expect(undone - begun).toBeGreaterThanOrEqual(probationSeconds + patienceSeconds - 1);
  });
});
