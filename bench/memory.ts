import type { Board } from '../qemu/index.ts';
import { coreModules, inTurn, numberFrom, type Group } from './bench.ts';
import { median, type Measurement } from './table.ts';

const pods = ['one', 'two', 'three'];
/** The time after which wherryd has reported a deployment and has collected its heap. */
const restSeconds = 30;

/**
 * Idle memory: wherryd with three pods, and the overhead of an app.
 */
export const memoryGroup: Group = {
  about: 'memory of the idle supervisor and of a running app',
  measure: async (bench) => {
    const scene = await bench.scene();
    const { board } = scene;
    bench.say('deploying three pods');
    const image = await scene.image('busybox', ['/usr/bin/sleep', '1000000'], { name: 'example.com/idle' });
    await scene.deploy(scene.desired(pods.map((name) => ({ name, image }))));
    await board.check(`sleep ${restSeconds}`);

    bench.say('reading the memory of wherryd and of a bare Node process');
    const ours = { rss: [] as number[], dirty: [] as number[] };
    const peer = { rss: [] as number[], dirty: [] as number[] };
    for (let round = 0; round < bench.rounds; round++) {
      const wherryd = await memoryOf(
        board,
        '$(cat /sys/fs/cgroup/system.slice/wherryd.service/cgroup.procs)',
      );
      const bare = await memoryOfBareNode(board);
      bench.say(`  round ${round + 1}: ${JSON.stringify({ wherryd, bare })}`);
      ours.rss.push(wherryd.rss);
      ours.dirty.push(wherryd.dirty);
      peer.rss.push(bare.rss);
      peer.dirty.push(bare.dirty);
    }

    const wherryd: Measurement[] = [
      { name: 'wherryd idle with 3 pods: private memory, MB', ours: median(ours.dirty), bound: 15 },
      {
        name: 'the same; peer: node with the same core modules',
        ours: median(ours.dirty),
        peer: median(peer.dirty),
      },
      {
        name: 'wherryd idle with 3 pods: RSS, MB; peer: node with the same core modules',
        ours: median(ours.rss),
        peer: median(peer.rss),
        bound: 1.25,
      },
    ];
    const processes: Measurement = {
      name: 'a running app: processes beside its own',
      ours: await numberFrom(board, processesOfAPod(podUnit('three'))),
      bound: 0,
    };
    // Without the controller the kernel does not count an app's memory.
    if (board.lacks.controllers !== undefined) return [...wherryd, processes];

    bench.say('comparing a pod with a hand-written unit');
    const root = `/run/wherry/images/${image.id}/rootfs`;
    const app = await inTurn(bench, {
      // Not the first pod: it includes the pages of the image that all share.
      ours: () => memoryOfUnit(board, `systemctl restart '${podUnit('three')}'`, podUnit('three')),
      peer: () =>
        memoryOfUnit(
          board,
          `systemctl stop bench-sleep.service 2>/dev/null || true
          systemd-run --quiet --unit=bench-sleep -p RootDirectory=${root} /usr/bin/sleep 1000000`,
          'bench-sleep.service',
        ),
    });
    await board.check('systemctl stop bench-sleep.service');
    return [
      ...wherryd,
      processes,
      { name: 'a running app: memory beside its own, MB', ours: app.ours - app.peer, bound: 0.5 },
      {
        name: "memory of an app's cgroup (sleep), MB; peer: a hand-written unit",
        ours: app.ours,
        peer: app.peer,
      },
    ];
  },
};

/** A separate group: the others are measured even if the daemons do not start. */
export const dockerGroup: Group = {
  about: 'memory of the idle supervisor and of dockerd with containerd',
  measure: async (bench) => {
    const { board } = await bench.scene();
    const docker = await memoryOfDocker(board);
    const { pss } = await memoryOf(board, wherrydProcesses);
    return [
      {
        name: 'wherryd idle: PSS, MB; peer: dockerd and containerd without containers',
        ours: pss,
        peer: docker,
      },
    ];
  },
};

const wherrydProcesses = '$(cat /sys/fs/cgroup/system.slice/wherryd.service/cgroup.procs)';

interface Memory {
  readonly rss: number;
  readonly pss: number;
  readonly dirty: number;
}

/** Megabytes of some processes together. */
async function memoryOf(board: Board, pids: string): Promise<Memory> {
  const output = await board.check(`set -eu
    for pid in ${pids}; do cat "/proc/$pid/smaps_rollup"; done |
      awk '/^(Rss|Pss|Private_Dirty):/ { sum[$1] += $2 } END { print sum["Rss:"], sum["Pss:"], sum["Private_Dirty:"] }'`);
  const [rss = Number.NaN, pss = Number.NaN, dirty = Number.NaN] = output
    .trim()
    .split(' ')
    .map((kib) => (Number(kib) * 1024) / 1e6);
  return { rss, pss, dirty };
}

/** The memory of an idle Node that has loaded the modules, measured like wherryd. */
async function memoryOfBareNode(board: Board): Promise<Memory> {
  const program = `for (const name of ${JSON.stringify(coreModules)}) require(name); setInterval(() => {}, 1e9); console.log(1)`;
  await board.check(`set -eu
    systemd-run --quiet --collect --unit=bench-node -p StandardOutput=file:/run/bench-node node -e '${program}'
    until [ -s /run/bench-node ]; do sleep 0.5; done
    sleep 3`);
  try {
    return await memoryOf(board, '$(systemctl show -P MainPID bench-node)');
  } finally {
    await board.check(
      'systemctl stop bench-node; rm /run/bench-node; systemctl reset-failed bench-node 2>/dev/null || true',
    );
  }
}

function podUnit(name: string): string {
  return `wherry-pod-${name}.*-main.service`;
}

/** Megabytes that the kernel counts for a unit's cgroup a moment after its start. */
async function memoryOfUnit(board: Board, start: string, unit: string): Promise<number> {
  return await numberFrom(
    board,
    `${start}
    sleep 3
    group=$(systemctl show -P ControlGroup '${unit}')
    awk '{ print $1 / 1e6 }' "/sys/fs/cgroup$group/memory.current"`,
  );
}

/**
 * A script that prints how many processes a pod adds to the board. Kernel threads and the app do
 * not count.
 */
function processesOfAPod(unit: string): string {
  return `count() { grep -lz . /proc/[0-9]*/cmdline 2>/dev/null | wc -l || true; } # a process may end meanwhile
    unit=$(systemctl list-units --plain --no-legend '${unit}' | cut -d' ' -f1)
    procs=/sys/fs/cgroup$(systemctl show -P ControlGroup "$unit")/cgroup.procs
    for round in 1 2 3 4 5; do
      # The start script ends a moment after systemd has reported the start.
      for tenth in $(seq 50); do [ "$(wc -l <"$procs")" != 1 ] || break; sleep 0.1; done
      with=$(count)
      systemctl stop "$unit"
      without=$(count)
      systemctl start "$unit"
      echo $((with - without - 1))
    done | sort -n | sed -n 3p`;
}

/** PSS of both daemons at idle, in megabytes. */
async function memoryOfDocker(board: Board): Promise<number> {
  // Packages are only unpacked on the board; their maintainer scripts would have done this.
  await board.check(`getent group docker >/dev/null || groupadd -r docker
    [ -e /usr/sbin/iptables ] || ln -s xtables-nft-multi /usr/sbin/iptables`);
  await board.check('systemctl start containerd docker && sleep 20', { timeoutMs: 180_000 });
  try {
    return (await memoryOf(board, '$(pidof dockerd containerd)')).pss;
  } finally {
    await board.check('systemctl stop docker.socket docker containerd', { timeoutMs: 180_000 });
  }
}
