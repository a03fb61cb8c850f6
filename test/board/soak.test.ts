import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DesiredState } from '../../src/wire/trust/index.ts';
import { oneBoard } from './board-choice.ts';
import { type BuiltImage, Scene } from './scene.ts';
import { type Killed, Kills, type Target, targets } from './soak/kills.ts';
import { JournalCheck, type Remains, remainsOf } from './soak/leftovers.ts';
import { SeededRandom } from './soak/random.ts';

/** Few enough to fit between other tests. `npm run soak` runs 500 and 1,000. */
const deployments = Number(process.env['WHERRY_SOAK_DEPLOYMENTS'] ?? 10);
const kills = Number(process.env['WHERRY_SOAK_KILLS'] ?? 8);
const seed = Number(process.env['WHERRY_SOAK_SEED'] ?? Date.now() % 2 ** 32);

/**
 * The longest life of a target before the kill. It is long enough for kills at every moment of its
 * work.
 */
const maxDelayMs: Readonly<Record<Target, number>> = { wherryd: 2_500, pull: 500, start: 60 };

type SetName = 'a' | 'b';
/**
 * The parts of a set that never outlive it. The next collection deletes objects, downloads and pods
 * of other sets.
 */
const ofSet = ['loaded', 'mounts', 'controlGroups', 'run', 'failed'] as const;
/**
 * How many of each a set has. The units are the mounts of its two images, its four apps and their
 * holder, and the slices of its three pods.
 */
const sizes = { loaded: 10, mounts: 2, controlGroups: 8, run: 12, failed: 0 };

/**
 * Two versions alternate while the test kills processes. Slow boards show no more than the native
 * one.
 */
describe.each(oneBoard)('a soak on %s', (boardName) => {
  let scene: Scene;
  let fixed: BuiltImage;
  const images = {} as Record<SetName, BuiltImage>;
  /** What exists when a set runs undisturbed. */
  const whole = {} as Record<SetName, Remains>;
  const random = new SeededRandom(seed);
  const sets = new Map<number, SetName>();

  beforeAll(async () => {
    scene = await Scene.start(boardName);
    // With the usual 2 s, most kills would hit a wherryd that waits for its restart.
    await scene.board.check(
      `mkdir -p /etc/systemd/system/wherryd.service.d
       printf '[Service]\\nRestartSec=100ms\\n' >/etc/systemd/system/wherryd.service.d/soak.conf
       systemctl daemon-reload`,
    );
    const image = async (version: string): Promise<BuiltImage> =>
      await scene.image('busybox', ['/usr/bin/busybox', 'sh', '-c', polite], {
        name: 'example.com/soak',
        version,
      });
    fixed = await image('0.0.1');
    images.a = await image('1.0.0');
    images.b = await image('2.0.0');
  });
  afterAll(() => scene.stop());

  const desired = (set: SetName): DesiredState => {
    const image = images[set];
    const member = (name: string) => ({
      name,
      image: { id: image.id },
      app: { exec: ['/usr/bin/busybox', 'sleep', '1000000'], user: '0', group: '0' },
    });
    const state = scene.desired([
      { name: 'fixed', image: fixed },
      { name: 'web', image },
      { name: 'duo', image, manifest: { apps: [member('one'), member('two')] } },
    ]);
    sets.set(state.version, set);
    return { ...state, policy: { ...state.policy, probationSeconds: 1 } };
  };
  const other = (set: SetName): SetName => (set === 'a' ? 'b' : 'a');
  const fixedPid = async (): Promise<string> =>
    (await scene.board.check(`systemctl show -P MainPID 'wherry-pod-fixed.*-main.service'`)).trim();
  const collect = async (): Promise<void> => {
    await scene.board.check('wherry gc');
  };

  /** Waits until what the board has satisfies `holds`. */
  const settled = async (where: string, expected: Partial<Remains>, timeoutMs = 180_000): Promise<void> => {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const remains = await remainsOf(scene.board);
      const found = Object.fromEntries(
        Object.keys(expected).map((key) => [key, remains[key as keyof Remains]]),
      );
      if (JSON.stringify(found) === JSON.stringify(expected)) return;
      if (Date.now() < deadline) continue;
      const journal = await scene.board.journal('-n 400 -o short-precise');
      expect(found, `${where}\n${journal}`).toEqual(expected);
    }
  };
  const belongings = (set: SetName): Partial<Remains> =>
    Object.fromEntries(ofSet.map((key) => [key, whole[set][key]]));

  it('records what each set has without kills', async () => {
    for (const set of ['a', 'b', 'a'] as const) {
      expect(await scene.deploy(desired(set))).toMatchObject({ outcome: 'committed' });
      // wherryd and systemd remove what the deployment and the previous set had after the commit.
      await expect
        .poll(async () => {
          whole[set] = await remainsOf(scene.board);
          return Object.fromEntries(ofSet.map((key) => [key, whole[set][key].length]));
        })
        .toEqual(sizes);
    }
    expect(whole.a.loaded.filter((line) => line.endsWith('active running'))).toHaveLength(5);
    expect(whole.a.run).not.toContain(`images/${images.b.id}`);
  });

  it(
    `runs exactly the old or the new set over ${deployments} deployments and ${kills} kills`,
    async () => {
      process.stdout.write(`soak: WHERRY_SOAK_SEED=${seed}\n`);
      const aims = await Kills.on(scene.board);
      const killed: Killed[] = [];
      const outcomes = new Map<string, number>();
      const pid = await fixedPid();
      let current: SetName = 'a';
      const journal = new JournalCheck(scene.board);
      let done = 0;
      const inspect = async (where: string): Promise<void> => {
        expect(await journal.wrongLines(killed), where).toEqual([]);
      };

      for (; done < deployments || killed.length < kills; done++) {
        const next = other(current);
        const pulls = random.chance(0.5);
        const mean = Math.max(0, kills - killed.length) / Math.max(1, deployments - done);
        const count = Math.min(4, Math.floor(mean) + (random.chance(mean % 1) ? 1 : 0));
        if (pulls) await scene.board.check(`rm -f /var/lib/wherry/images/${images[next].id}.erofs`);
        const shots = Array.from({ length: count }, () => {
          const target = random.pick<Target>(pulls ? ['wherryd', 'pull', 'start'] : ['wherryd', 'start']);
          const delayMs = random.below(maxDelayMs[target]);
          return { words: `${target} after ${delayMs} ms`, ...aims.aim(target, delayMs) };
        });
        let state = desired(next);
        await scene.send(await scene.sign(state));
        const superseded = random.chance(0.1);
        const waitMs = random.below(2_500);
        if (superseded) {
          await new Promise((resolve) => setTimeout(resolve, waitMs));
          state = desired(random.pick<SetName>(['a', 'b']));
          await scene.send(await scene.sign(state));
        }
        const where = `deployment ${done + 1}, version ${state.version} from ${current} to ${sets.get(state.version)}${pulls ? ', pulled' : ''}${superseded ? `, superseded after ${waitMs} ms` : ''}; killed: ${shots.map(({ words }) => words).join(', ')}; WHERRY_SOAK_SEED=${seed}`;
        const isEnd = (version: number | undefined, phase: string | undefined): boolean =>
          version === state.version &&
          ['committed', 'rolled-back', 'refused', 'superseded'].includes(phase ?? '');
        await scene
          .report(({ deployment }) => isEnd(deployment?.version, deployment?.phase))
          .catch((error: unknown) => {
            throw new Error(where, { cause: error });
          });
        await Promise.all(shots.map((shot) => shot.missed()));
        for (const { outcome } of shots) {
          const one = await outcome;
          if (one !== undefined) killed.push(one);
        }
        // The last kill may have hit the wherryd that made the last report.
        const report = await scene.report(({ deployment }) => isEnd(deployment?.version, deployment?.phase));
        const phase = report.deployment?.phase ?? '';
        outcomes.set(phase, (outcomes.get(phase) ?? 0) + 1);
        if (count === 0) expect(phase, where).toBe('committed');
        if (phase === 'committed') expect(report.currentVersion, where).toBe(state.version);
        current = sets.get(report.currentVersion) ?? current;
        await settled(where, belongings(current));
        expect(await fixedPid(), where).toBe(pid);
        if (done % 10 === 9) {
          await inspect(where);
          process.stdout.write(`soak: ${done + 1} deployments, ${killed.length} kills\n`);
        }
      }
      await inspect('at the end');

      // Undisturbed again: only the previous set is kept.
      for (const set of [other(current), current]) {
        const last = desired(set);
        expect(await scene.deploy(last)).toMatchObject({ outcome: 'committed' });
      }
      await collect();
      await settled('after a collection', whole[current]);
      expect(await fixedPid()).toBe(pid);
      await inspect('after a collection');
      const told = [...outcomes].map(([phase, times]) => `${times} ${phase}`).join(', ');
      const hits = targets.map(
        (target) => [target, killed.filter((one) => one.target === target).length] as const,
      );
      process.stdout.write(
        `soak: ${done} deployments (${told}), kills: ${hits.map(([target, times]) => `${times} ${target}`).join(', ')}\n`,
      );
      // Among so many kills, each target is hit.
      if (kills >= 100) expect(hits.filter(([, times]) => times === 0)).toEqual([]);
    },
    Math.max(600_000, (deployments + kills) * 30_000),
  );
});

/** An app that ends on SIGTERM. */
const polite = `trap 'exit 0' TERM; while :; do sleep 1000 & wait; done`;
