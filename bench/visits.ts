import type { Board } from '../qemu/index.ts';
import { numberFrom, type Group } from './bench.ts';
import { median } from './table.ts';

/** The log entry at the end of a visit (src/device/agent/daemon.ts). */
const endOfVisit = 'the visit to the broker is over';
const pods = ['one', 'two', 'three'];
const services = 'system.slice';

/**
 * The processor time of a visit to the broker by a timer, compared with a wherryd that stays
 * connected. For a visit all services of the board count, because a unit examines the command. For
 * the resident wherryd only its own service counts.
 */
export const visitsGroup: Group = {
  about:
    'processor time of a visit to the broker (connection = "timer") and of an hour of a resident wherryd',
  measure: async ({ scene: getScene, idleMinutes, rounds, say }) => {
    const scene = await getScene();
    const { board } = scene;
    const image = await scene.image('busybox', ['/usr/bin/sleep', '1000000'], { name: 'example.com/visits' });
    await scene.deploy(scene.desired(pods.map((name) => ({ name, image }))));
    await board.check('sleep 60', { timeoutMs: 120_000 });

    // It sends a keepalive and checks its last report every five minutes.
    say(`watching a resident wherryd for ${idleMinutes} minutes`);
    const wherryd = 'system.slice/wherryd.service';
    const before = await processorOf(board, wherryd);
    await new Promise((resolve) => setTimeout(resolve, idleMinutes * 60_000));
    const hour = ((await processorOf(board, wherryd)) - before) * (60 / idleMinutes);
    say(`  an hour of it: ${hour.toFixed(2)}`);

    await scene.configure('connection = "timer"\ninterval_seconds = 10\n');
    const visits: number[] = [];
    try {
      await untilVisited(board, 1); // It writes the timer.
      for (let visit = 2; visit < 2 + rounds; visit++) {
        const start = await processorOf(board, services);
        await untilVisited(board, visit);
        const seconds = (await processorOf(board, services)) - start;
        say(`  visit ${visit}: ${seconds.toFixed(2)}`);
        visits.push(seconds);
      }
    } finally {
      await scene.configure('');
    }
    return [
      {
        name: 'a visit to the broker by a timer: processor, s; peer: an hour of a resident wherryd',
        ours: median(visits),
        peer: hour,
        bound: 3,
      },
    ];
  },
};

/** Processor seconds of a control group since its creation, including ended processes. */
async function processorOf(board: Board, group: string): Promise<number> {
  return await numberFrom(
    board,
    `awk '$1 == "usage_usec" { print $2 / 1e6 }' /sys/fs/cgroup/${group}/cpu.stat`,
  );
}

/** Waits until `count` visits have ended since the board started, and wherryd is inactive. */
async function untilVisited(board: Board, count: number): Promise<void> {
  await board.waitFor(
    `journalctl -b -u wherryd -o cat | grep -c '${endOfVisit}'; systemctl show -P ActiveState wherryd`,
    ({ stdout }) => {
      const [visits, state] = stdout.trim().split('\n');
      return Number(visits) >= count && state === 'inactive';
    },
    120_000,
  );
}
