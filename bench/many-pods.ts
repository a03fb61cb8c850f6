import type { Board } from '../qemu/index.ts';
import type { Group } from './bench.ts';

const pods = 30;

/**
 * What each of many pods takes beside its app, and whether they all run: for a board with little
 * memory.
 */
export const manyGroup: Group = {
  about: `${pods} pods at once, and the memory of each beside its app's own`,
  onlyByName: true,
  measure: async ({ scene: getScene, say }) => {
    const scene = await getScene();
    const { board } = scene;
    const image = await scene.image('busybox', ['/usr/bin/sleep', '1000000'], { name: 'example.com/many' });
    const deploy = async (count: number): Promise<number> => {
      const names = Array.from({ length: count }, (_, index) => `pod-${index + 1}`);
      say(`deploying ${count} pods`);
      const desired = scene.desired(names.map((name) => ({ name, image })));
      const started = performance.now();
      const event = await scene.deploy(desired, 1_800_000);
      if (event.outcome !== 'committed') throw new Error(`not deployed: ${JSON.stringify(event)}`);
      const seconds = (performance.now() - started) / 1000;
      const { pods: told } = await scene.report(({ currentVersion }) => currentVersion === desired.version);
      const healthy = told.filter((pod) => pod.healthy).length;
      if (healthy !== count) throw new Error(`${healthy} of ${count} pods run`);
      return seconds;
    };
    // The first pod pays for the image and for what wherryd keeps of a deployment.
    await deploy(1);
    const one = await memoryOf(board);
    const seconds = await deploy(pods);
    const many = await memoryOf(board);
    const each = (kind: keyof Memory): number => (many[kind] - one[kind]) / (pods - 1);
    // A board without controllers shares its memory with whatever else this machine does.
    const ofBoard = board.lacks.controllers === undefined;
    const rows = [
      { name: `${pods} pods, deployed and committed, s`, ours: seconds },
      { name: 'of each, memory of the board, MB', ours: each('board') },
      { name: 'of each, memory of its process (PSS), MB', ours: each('apps') },
      {
        name: 'of each, memory of the board beside its process, MB',
        ours: each('board') - each('apps'),
        bound: 1,
      },
      { name: 'of each, private memory of wherryd, MB', ours: each('wherryd') },
      { name: `wherryd idle with ${pods} pods: private memory, MB`, ours: many.wherryd },
      { name: `left on the board with ${pods} pods, MB`, ours: many.left },
    ];
    return rows.filter(({ name }) => ofBoard || !name.includes('the board'));
  },
};

interface Memory {
  /** What the whole board does not have free any more. */
  readonly board: number;
  readonly left: number;
  readonly apps: number;
  readonly wherryd: number;
}

/** Megabytes, after wherryd has collected its heap. */
async function memoryOf(board: Board): Promise<Memory> {
  const output = await board.check(`sleep 40
    awk '/^MemTotal|^MemAvailable/ { print $2 }' /proc/meminfo
    cat $(grep -lxs sleep /proc/[0-9]*/comm | sed 's|comm$|smaps_rollup|') | awk '/^Pss:/ { sum += $2 } END { print sum + 0 }'
    awk '/^Private_Dirty/ { print $2 }' /proc/$(systemctl show -P MainPID wherryd)/smaps_rollup`);
  const [total = 0, left = 0, apps = 0, wherryd = 0] = output
    .trim()
    .split('\n')
    .map((kib) => Number(kib) / 1000);
  return { board: total - left, left, apps, wherryd };
}
