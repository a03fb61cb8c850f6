import { join } from 'node:path';
import type { Board } from '../qemu/index.ts';
import { toOci } from '../src/operator/oci/to-oci.ts';
import type { BuiltImage, Scene } from '../test/board/scene.ts';
import { inTurn, numberFrom, roundsOf, secondsOf, type Bench, type Group } from './bench.ts';
import { bulkImage } from './bulk-image.ts';
import { line, median, type Measurement } from './table.ts';

/**
 * Pulls of two sizes give the cost of a megabyte; a pull of a tiny image gives the fixed cost.
 */
export const pullGroup: Group = {
  about: 'pull of an image: time, memory, written bytes',
  measure: async (bench) => {
    const scene = await bench.scene();
    const { board } = scene;
    const [smallMb, largeMb] = bench.pullMegabytes;
    await notePulls(board);
    bench.say(`building images of ${smallMb} and ${largeMb} MB`);
    const tiny = await scene.image('busybox', ['/usr/bin/sleep', '1000000'], { name: 'example.com/tiny' });
    const small = await bulkImage(scene, board.name, smallMb);
    const large = await bulkImage(scene, board.name, largeMb);

    const smallOci = await asOci(scene, small);
    const largeOci = await asOci(scene, large);

    const written: Written[] = [];
    const processor: Record<string, number[]> = {};
    const note = (name: string, seconds: number): void => void (processor[name] ??= []).push(seconds);
    const pulled = async (image: BuiltImage, name: string): Promise<number> => {
      const { seconds, processorSeconds, ...bytes } = await deploy(scene, image);
      note(name, processorSeconds);
      if (image === small) written.push(bytes);
      return seconds;
    };
    const piped = async (image: BuiltImage, name: string): Promise<number> => {
      const { seconds, processorSeconds } = await pipeline(board, image);
      note(name, processorSeconds);
      return seconds;
    };
    const times = await roundsOf(bench, {
      tiny: () => pulled(tiny, 'tiny'),
      small: () => pulled(small, 'small'),
      smallByHand: () => piped(small, 'smallByHand'),
      large: () => pulled(large, 'large'),
      largeByHand: () => piped(large, 'largeByHand'),
      smallByPodman: () => podmanLoad(board, smallOci),
      largeByPodman: () => podmanLoad(board, largeOci),
    });
    const node = await inTurn(bench, { start: () => secondsOf(board, 'node -e 0') });
    const slope = (of: keyof typeof times, by: keyof typeof times): number =>
      slopes(times[of], times[by], small, large);
    const processorSlope = (of: string, by: string): number =>
      slopes(processor[of] ?? [], processor[by] ?? [], small, large);
    const secondsPerMb = slope('small', 'large');
    const native = board.lacks.kernel !== undefined;
    const memory = native ? [] : rowsOf(await memoryOfPull(bench, scene, large), large);
    const flash: Measurement = {
      name: 'written by a deployment, MB; peer: size of the download and of the object',
      ours: median(written.map(({ writtenBytes }) => writtenBytes)) / 1e6,
      peer: median(written.map(({ neededBytes }) => neededBytes)) / 1e6,
      bound: 1.1,
    };
    return [
      {
        name: 'pull, processor s per MB, all processes of both; peer: the pipeline of the next line',
        ours: processorSlope('small', 'large'),
        peer: processorSlope('smallByHand', 'largeByHand'),
        ...(native ? { bound: 1.1 } : {}),
      },
      {
        name: `pull, s per MB (between ${mb(small)} and ${mb(large)} MB); peer: curl | tee >(sha512sum) | gzip -dc | mkfs.erofs`,
        ours: secondsPerMb,
        peer: slope('smallByHand', 'largeByHand'),
        bound: native ? 0.9 : 1.5,
      },
      {
        name: 'the same; peer: curl | podman load of the same content',
        ours: secondsPerMb,
        peer: slope('smallByPodman', 'largeByPodman'),
      },
      {
        name: `pull of ${mb(large)} MB, s; peer: the same pipeline`,
        ours: median(times.large),
        peer: median(times.largeByHand),
      },
      {
        name: 'the same; peer: curl | podman load of the same content',
        ours: median(times.large),
        peer: median(times.largeByPodman),
      },
      {
        name: 'pull, fixed cost, s; peer: node -e 0',
        ours: median(times.tiny) - secondsPerMb * (tiny.sizeBytes / 1e6),
        peer: node.start,
        bound: 1.7,
      },
      ...memory,
      ...(board.lacks.disk === undefined ? [flash] : []),
    ];
  },
};

function rowsOf(memory: PullMemory, image: BuiltImage): readonly Measurement[] {
  return [
    { name: `peak memory of the pull unit (${mb(image)} MB image), MB`, ours: memory.held, bound: 64 },
    { name: 'the same with the page cache that it filled, MB', ours: memory.withCache },
    { name: 'the same: peak RSS of its processes, shared pages counted twice, MB', ours: memory.rss },
  ];
}

/** A command that a unit runs at its end, in its cgroup: prints its processor seconds. */
const noteProcessor = {
  path: '/run/bench-note',
  script: `awk '/^usage_usec/ { print $2 / 1e6 }' "/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/cpu.stat" >/run/bench-processor`,
  setting: 'ExecStopPost=+/bin/sh /run/bench-note',
};

async function notePulls(board: Board): Promise<void> {
  const dropIn = '/run/systemd/system/wherry-pull@.service.d';
  await board.copyIn(Buffer.from(noteProcessor.script), noteProcessor.path);
  await board.check(
    `mkdir -p ${dropIn}; printf '[Service]\\n${noteProcessor.setting}\\n' >${dropIn}/bench.conf; systemctl daemon-reload`,
  );
}

interface Times {
  readonly seconds: number;
  /** Of all processes that took part, except `wherryd` and systemd. */
  readonly processorSeconds: number;
}

interface Written {
  readonly writtenBytes: number;
  /** The download and the object. */
  readonly neededBytes: number;
}

/**
 * Deploys a pod of an image that is not on the board, and measures the time of the pull and the
 * disk.
 */
async function deploy(scene: Scene, image: BuiltImage, timeoutMs = 900_000): Promise<Written & Times> {
  const { board } = scene;
  const object = `/var/lib/wherry/images/${image.id}.erofs`;
  // Only another image may be deployed, so this one is not in use. wherryd pulls a deleted image
  // again.
  await board.check(`rm -f '${object}'; sync; sleep 5; sync`, { timeoutMs: 120_000 });
  const writtenBytes = async (): Promise<number> =>
    board.lacks.disk === undefined ? (await board.blockStats()).writtenBytes : 0;
  const before = await writtenBytes();
  const limits = board.lacks.controllers === undefined ? 'require' : 'best-effort';
  const desired = scene.desired([{ name: 'bulk', image }], {
    policy: { probationSeconds: 1, reconnectWindowSeconds: 1, limits },
  });
  const event = await scene.deploy(desired, timeoutMs);
  if (event.outcome !== 'committed') throw new Error(`the image was not deployed: ${JSON.stringify(event)}`);
  await board.check('sync; sleep 5; sync', { timeoutMs: 120_000 });
  const after = await writtenBytes();
  const objectBytes = await numberFrom(board, `stat -c %s '${object}'`);
  return {
    seconds: await numberFrom(
      board,
      `phase() {
        journalctl -b -q -o json --output-fields=MESSAGE _SYSTEMD_UNIT=wherryd.service \\
          WHERRY_VERSION=${desired.version} WHERRY_PHASE="$1" | head -n 1 | at
      }
      since "$(phase fetch)" "$(phase stage)"`,
    ),
    processorSeconds: await numberFrom(board, 'cat /run/bench-processor'),
    writtenBytes: after - before,
    neededBytes: image.sizeBytes + objectBytes,
  };
}

/**
 * Makes the same object with a shell and programs of the board, without signature and limits.
 */
async function pipeline(board: Board, image: BuiltImage): Promise<Times> {
  const object = '/var/lib/wherry/bench.erofs';
  const script = `curl -sSf '${image.urls[0] ?? ''}' | tee >(sha512sum >/run/bench.sum) | gzip -dc |
    mkfs.erofs --quiet --tar=f --sort=none -E^inline_data -b4096 ${object} && sync ${object}`;
  await board.copyIn(Buffer.from(script), '/run/bench-pipeline');
  const run = `systemd-run --quiet --wait --collect --unit=bench-pipeline -p '${noteProcessor.setting}' bash -o pipefail /run/bench-pipeline`;
  try {
    const seconds = await secondsOf(board, run);
    return { seconds, processorSeconds: await numberFrom(board, 'cat /run/bench-processor') };
  } finally {
    await board.check(`rm -f ${object}; sync`, { timeoutMs: 120_000 });
  }
}

/** The same content as an OCI archive beside the image; returns its address. */
async function asOci(scene: Scene, image: BuiltImage): Promise<string> {
  const name = `${image.name.split('/').at(-1) ?? ''}.oci.tar`;
  await toOci({ file: image.path, output: join(scene.directory, name) });
  return new URL(name, image.urls[0]).href;
}

/** The time of podman to store an image; it checks no signature either. */
async function podmanLoad(board: Board, url: string): Promise<number> {
  return await secondsOf(
    board,
    `curl -sSf '${url}' | podman load --quiet >/dev/null && sync -f /var/lib/containers`,
  ).finally(() => board.check('podman image rm --all --force >/dev/null; sync', { timeoutMs: 120_000 }));
}

/** The median of the rounds' cost of a megabyte. */
function slopes(
  small: readonly number[],
  large: readonly number[],
  smallImage: BuiltImage,
  largeImage: BuiltImage,
): number {
  return median(
    small.map((seconds, round) => {
      const from = { x: smallImage.sizeBytes / 1e6, y: seconds };
      return line(from, { x: largeImage.sizeBytes / 1e6, y: large[round] ?? Number.NaN }).slope;
    }),
  );
}

function mb(image: BuiltImage): number {
  return Math.round(image.sizeBytes / 1e6);
}

export interface PullMemory {
  /** Megabytes that cannot be reclaimed: its own pages and the kernel's for it. */
  readonly held: number;
  readonly withCache: number;
  readonly rss: number;
  /** From wherryd's log entry of `fetch` until the next phase, while it is sampled. */
  readonly seconds: number;
}

/**
 * Samples the pull unit several times a second, in a pull whose time does not count. Its cgroup
 * also includes pages of files, up to its limit. The kernel can reclaim them at any time, so the
 * memory that it cannot reclaim is counted separately.
 */
export async function memoryOfPull(
  bench: Bench,
  scene: Scene,
  image: BuiltImage,
  timeoutMs = 900_000,
): Promise<PullMemory> {
  bench.say('watching the memory of a pull');
  const { board } = scene;
  const watching = board.check(
    `set -u
    group=/sys/fs/cgroup/system.slice/'system-wherry\\x2dpull.slice'
    until held=$(cat "$group"/wherry-pull@*/memory.stat 2>/dev/null); do sleep 0.2; done
    top=0 rss=0
    while stat=$(cat "$group"/wherry-pull@*/memory.stat 2>/dev/null); do
      now=$(awk '$1 ~ /^(anon|kernel|shmem)$/ { sum += $2 } END { print sum }' <<<"$stat")
      [ "$now" -gt "$top" ] && top=$now
      processes=$(for pid in $(cat "$group"/wherry-pull@*/cgroup.procs 2>/dev/null); do cat "/proc/$pid/status" 2>/dev/null; done)
      now=$(awk '/^VmHWM/ { sum += $2 * 1024 } END { print sum + 0 }' <<<"$processes")
      [ "$now" -gt "$rss" ] && rss=$now
      peak=$(cat "$group"/wherry-pull@*/memory.peak 2>/dev/null) || true
      [ -n "$peak" ] && cache=$peak
      sleep 0.2
    done
    echo "$top $cache $rss"`,
    { timeoutMs },
  );
  const [{ seconds }, output] = await Promise.all([deploy(scene, image, timeoutMs), watching]);
  const [held = Number.NaN, withCache = Number.NaN, rss = Number.NaN] = output
    .trim()
    .split(' ')
    .map((bytes) => Number(bytes) / 1e6);
  return { held, withCache, rss, seconds };
}
