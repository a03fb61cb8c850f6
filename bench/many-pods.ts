import type { Board } from '../qemu/index.ts';
import type { BuiltImage, Scene } from '../test/board/scene.ts';
import type { Bench, Group } from './bench.ts';
import { importIntoPodman } from './pods.ts';
import type { Measurement } from './table.ts';

/** Pods of one kind, on one board. */
interface Crowd {
  readonly pods: number;
  /** With one, in the network of the host; with two, in the default bridge with a host port. */
  readonly apps: 1 | 2;
  /** Megabytes of private memory that wherryd may have with them. */
  readonly supervisor?: number;
}

/**
 * The memory that each of many pods uses besides its app, on a board with little memory. All must
 * run.
 */
export const manyGroup: Group = crowdGroup({ pods: 30, apps: 1 });

/** The same for pods of two apps with a network and a host port. */
export const pairsGroup: Group = crowdGroup({ pods: 10, apps: 2, supervisor: 16 });

function crowdGroup(crowd: Crowd): Group {
  const what = crowd.apps === 1 ? 'pods' : 'pods of two apps in a bridge network';
  return {
    about: `${crowd.pods} ${what} at once, and the memory of each beside its apps' own`,
    onlyByName: true,
    measure: (bench) => measureCrowd(bench, crowd),
  };
}

async function measureCrowd(
  { scene: getScene, say }: Bench,
  { pods, apps, supervisor }: Crowd,
): Promise<readonly Measurement[]> {
  const scene = await getScene();
  const { board } = scene;
  const image = await scene.image('busybox', ['/usr/bin/sleep', '1000000'], {
    name: 'example.com/many',
    app: { ports: [{ name: 'http', protocol: 'tcp', port: 80 }] },
  });
  const deploy = async (count: number): Promise<number> => {
    say(`deploying ${count} pods`);
    const desired = scene.desired(Array.from({ length: count }, (_, index) => podOf(image, index, apps)));
    const started = performance.now();
    const event = await scene.deploy(desired, 1_800_000);
    if (event.outcome !== 'committed') throw new Error(`not deployed: ${JSON.stringify(event)}`);
    const seconds = (performance.now() - started) / 1000;
    const { pods: reported } = await scene.report(({ currentVersion }) => currentVersion === desired.version);
    const healthy = reported.filter((pod) => pod.healthy).length;
    if (healthy !== count) throw new Error(`${healthy} of ${count} pods run`);
    return seconds;
  };
  // The first pod includes the cost of the image and wherryd's memory of a deployment.
  await deploy(1);
  const one = await memoryOf(board);
  const seconds = await deploy(pods);
  const many = await memoryOf(board);
  const each = (kind: keyof Memory): number => (many[kind] - one[kind]) / (pods - 1);
  const beside = each('board') - each('apps');
  const rows: Measurement[] = [
    { name: `${pods} pods, deployed and committed, s`, ours: seconds },
    { name: 'of each, memory of the board, MB', ours: each('board') },
    { name: 'of each, memory of its apps (PSS), MB', ours: each('apps') },
    { name: 'of each, memory of its other processes (PSS), MB', ours: each('others') },
    { name: 'of each, memory of the board beside its apps, MB', ours: beside, bound: 1 },
    { name: 'of each, private memory of wherryd, MB', ours: each('wherryd') },
    {
      name: `wherryd idle with ${pods} pods: private memory, MB`,
      ours: many.wherryd,
      ...(supervisor === undefined ? {} : { bound: supervisor }),
    },
    { name: `left on the board with ${pods} pods, MB`, ours: many.left },
  ];
  if ((await board.run('command -v podman')).status === 0) {
    for (const { name, ours } of rows) say(`  ${name}: ${ours.toFixed(2)}`);
    say('the same of podman');
    await deploy(1);
    const peer = await besideByPodman(scene, image, pods, apps, say);
    rows.push(
      { name: 'the same of each, beside its apps, MB; peer: podman', ours: beside, peer: peer.board },
      {
        name: 'of each, its other processes (PSS), MB; peer: podman',
        ours: each('others'),
        peer: peer.others,
      },
    );
  }
  // A board without controllers shares its memory with other processes of this machine.
  const ofBoard = board.lacks.controllers === undefined;
  return rows.filter(({ name }) => ofBoard || !/the board|beside its apps/.test(name));
}

function podOf(image: BuiltImage, index: number, apps: Crowd['apps']) {
  const name = `pod-${index + 1}`;
  if (apps === 1) return { name, image };
  const main = { name: 'main', image: { id: image.id, name: image.name } };
  const side = { exec: ['/usr/bin/sleep', '1000000'], user: '0', group: '0' };
  return {
    ...{ name, image },
    manifest: {
      apps: [main, { ...main, name: 'side', app: side }],
      annotations: [{ name: 'wherry/network', value: 'bridge' }],
      ports: [{ name: 'http', hostPort: 8000 + index }],
    },
  };
}

/** Megabytes that each podman pod except the first uses besides its apps. */
async function besideByPodman(
  scene: Scene,
  image: BuiltImage,
  pods: number,
  apps: Crowd['apps'],
  say: Bench['say'],
): Promise<{ board: number; others: number }> {
  const { board } = scene;
  const name = await importIntoPodman(scene, image);
  const run = (index: number): string =>
    apps === 1
      ? `podman run -d --network=host ${limits(board)} ${name} /usr/bin/sleep 1000000`
      : `podman pod create --publish=${9000 + index}:80 crowd-${index}
        for app in main side; do podman run -d --pod crowd-${index} ${limits(board)} ${name} /usr/bin/sleep 1000000; done`;
  const add = async (from: number, to: number): Promise<void> => {
    for (let index = from; index < to; index++) {
      await board.check(run(index), { timeoutMs: 300_000 });
      say(`  ${index + 1} of podman's run`);
    }
  };
  await add(0, 1);
  const one = await memoryOf(board);
  await add(1, pods);
  const many = await memoryOf(board);
  await board.check('podman pod rm --all --force --time 0; podman rm --all --force --time 0', {
    timeoutMs: 600_000,
  });
  const each = (kind: keyof Memory): number => (many[kind] - one[kind]) / (pods - 1);
  return { board: each('board') - each('apps'), others: each('others') };
}

/** On a board without controllers podman cannot limit anything either. */
function limits(board: Board): string {
  return board.lacks.controllers === undefined ? '' : '--cgroups=disabled --pids-limit=-1';
}

interface Memory {
  /** Memory of the whole board that is in use. */
  readonly board: number;
  readonly left: number;
  readonly apps: number;
  /** Other processes that run as long as pods do: holders of namespaces, conmon, name servers. */
  readonly others: number;
  readonly wherryd: number;
}

/** Megabytes, after wherryd has collected its heap. */
async function memoryOf(board: Board): Promise<Memory> {
  await board.check('sleep 40');
  const output = await board.check(`pss() {
      for name; do grep -lxs "$name" /proc/[0-9]*/comm; done | sed 's|comm$|smaps_rollup|' | xargs -r cat |
        awk '/^Pss:/ { sum += $2 } END { print sum + 0 }'
    }
    awk '/^MemTotal|^MemAvailable/ { print $2 }' /proc/meminfo
    pss sleep
    pss holder catatonit conmon aardvark-dns
    awk '/^Private_Dirty/ { print $2 }' /proc/$(systemctl show -P MainPID wherryd)/smaps_rollup`);
  const [total = 0, left = 0, apps = 0, others = 0, wherryd = 0] = output
    .trim()
    .split('\n')
    .map((kib) => Number(kib) / 1000);
  return { board: total - left, left, apps, others, wherryd };
}
