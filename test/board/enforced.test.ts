import { randomInt } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lacksOf } from '../../qemu/index.ts';
import type { IsolatorReport } from '../../src/wire/report/isolator-report.ts';
import type { DeviceReport } from '../../src/wire/report/report.ts';
import { itOn, oneBoard } from './board-choice.ts';
import { Scene } from './scene.ts';

type Isolators = readonly { readonly name: string; readonly value: unknown }[];

/** A pod of one app, and the isolators of both. */
interface Limited {
  readonly name: string;
  readonly app: Isolators;
  readonly pod?: Isolators;
  /** The source of a host volume of the app. */
  readonly volume?: string;
}

/** The isolators of apps and pods. A limit above the board's own resources is not enforced. */
const chosen: readonly Limited[] = [
  {
    name: 'whole',
    app: [
      { name: 'resource/memory', value: { limit: '64Mi' } },
      { name: 'resource/cpu', value: { limit: '1' } },
      { name: 'wherry/tasks', value: { limit: '64' } },
    ],
    pod: [
      { name: 'resource/memory', value: { limit: '96Mi' } },
      { name: 'resource/cpu', value: { limit: '1500m' } },
      { name: 'wherry/tasks', value: { limit: '80' } },
    ],
  },
  {
    name: 'odd',
    app: [
      { name: 'resource/memory', value: { limit: '50000001' } },
      { name: 'resource/cpu', value: { limit: '0.333' } },
      { name: 'os/linux/oom-score-adj', value: 250 },
      { name: 'os/linux/no-new-privileges', value: true },
    ],
  },
  {
    name: 'shares',
    app: [
      { name: 'os/linux/cpu-shares', value: 512 },
      { name: 'wherry/tasks', value: { limit: '4194304' } },
      { name: 'resource/memory', value: { limit: '9223372036854771712' } },
      { name: 'resource/block-bandwidth', value: { default: true, limit: '5M' } },
    ],
    volume: '/srv/ssd/data',
  },
  {
    name: 'sets',
    app: [
      { name: 'os/linux/capabilities-retain-set', value: { set: ['CAP_KILL', 'CAP_CHOWN'] } },
      { name: 'resource/memory', value: { limit: '48Mi', request: '16Mi' } },
      { name: 'resource/cpu', value: { limit: '2.5', request: '1' } },
    ],
  },
];

const quantity = (min: number, max: number, ...suffixes: readonly string[]) =>
  fc.tuple(fc.integer({ min, max }), fc.constantFrom(...suffixes)).map(([number, suffix]) => ({
    limit: `${number}${suffix}`,
  }));

/**
 * Limits under which an app starts in time on an emulated board, too, in every form of a manifest.
 */
const limits: fc.Arbitrary<Isolators> = fc
  .record({
    'resource/memory': fc.oneof(
      quantity(48, 400, 'Mi', 'M'),
      quantity(48_000, 400_000, 'Ki', 'k'),
      // In whole pages or not: the kernel enforces only whole pages as written.
      quantity(12_000, 100_000, '').map(({ limit }) => ({ limit: `${Number(limit) * 4096}` })),
      quantity(48_000_000, 400_000_000, ''),
    ),
    'resource/cpu': fc.oneof(
      quantity(500, 4000, 'm'),
      quantity(1, 4, ''),
      fc.integer({ min: 500, max: 1999 }).map((thousandths) => ({ limit: (thousandths / 1000).toFixed(3) })),
    ),
    'wherry/tasks': quantity(16, 4_194_304, ''),
  })
  .map((values) => Object.entries(values).map(([name, value]) => ({ name, value })));

const seed = Number(process.env['WHERRY_SEED'] ?? randomInt(2 ** 31));
const random: readonly Limited[] = fc
  .sample(fc.record({ app: limits, pod: limits }), { seed, numRuns: 4 })
  .map((isolators, index) => ({ name: `random${index}`, ...isolators }));

const pods = [...chosen, ...random];

/** Needs a writable /proc/sys. */
const sysctl = [{ name: 'os/unix/sysctl', value: { 'kernel.msgmax': '4096' } }];

/**
 * Directive of systemd → controller, file of the kernel, and the directive's value as it is in the
 * file.
 */
const files: Readonly<
  Record<string, { controller: string; file: string; kernel: (value: string) => string }>
> = {
  MemoryMax: { controller: 'memory', file: 'memory.max', kernel: (bytes) => bytes },
  MemorySwapMax: { controller: 'memory', file: 'memory.swap.max', kernel: (bytes) => bytes },
  CPUQuota: {
    controller: 'cpu',
    file: 'cpu.max',
    kernel: (percent) => `${Math.round(Number(percent.replace('%', '')) * 1000)} 100000`,
  },
  CPUWeight: { controller: 'cpu', file: 'cpu.weight', kernel: (weight) => weight },
  TasksMax: { controller: 'pids', file: 'pids.max', kernel: (tasks) => tasks },
};

/** [C51]: the test compares a report with the kernel's files, not with the request. */
// Controllers are not on every board: `npm run test:boards`. On an emulated board this takes
// minutes.
describe.each(oneBoard)('what is reported as enforced on %s', (boardName) => {
  const hasSysctl = lacksOf(boardName).kernel === undefined;
  let scene: Scene;
  let reports: ReadonlyMap<string, DeviceReport['pods'][number]>;

  beforeAll(async () => {
    scene = await Scene.start(boardName);
    const image = await scene.image('busybox', ['/usr/bin/busybox', 'sleep', '1000000']);
    await scene.board.check(
      'truncate -s 16M /var/tmp/ssd && mkfs.ext4 -q /var/tmp/ssd && mkdir /srv/ssd && mount /var/tmp/ssd /srv/ssd && mkdir /srv/ssd/data',
    );
    const wanted = pods.map(({ name, app, pod, volume }) => ({
      ...{ name, image },
      manifest: {
        apps: [
          {
            ...{ name: 'main', image: { id: image.id, name: image.name } },
            app: { exec: ['/usr/bin/busybox', 'sleep', '1000000'], user: '0', group: '0', isolators: app },
            mounts: volume === undefined ? [] : [{ volume: 'data', path: '/srv' }],
          },
        ],
        isolators: pod ?? (hasSysctl ? sysctl : []),
        volumes: volume === undefined ? [] : [{ name: 'data', kind: 'host', source: volume }],
      },
    }));
    const event = await scene.deploy(scene.desired(wanted), 1_000_000);
    expect(event.outcome, `WHERRY_SEED=${seed} ${JSON.stringify(event)}`).toBe('committed');
    const report = await scene.report(
      ({ pods: running }) => running.filter(({ healthy }) => healthy).length === pods.length,
    );
    reports = new Map(report.pods.map((pod) => [pod.name, pod]));
  }, 1_200_000);
  afterAll(() => scene.stop());

  const outcomeOf = (pod: string): readonly IsolatorReport[] => reports.get(pod)?.isolators ?? [];
  const pidOf = (pod: string): number => reports.get(pod)?.apps[0]?.pid ?? 0;
  /** The control group of a pod's app, or of the pod when `app` is empty. */
  const groupOf = async (pod: string, app: string): Promise<string> => {
    const group = (await scene.board.check(`sed -n 's/^0:://p' /proc/${pidOf(pod)}/cgroup`)).trim();
    return `/sys/fs/cgroup${app === '' ? group.replace(/\/[^/]*$/, '') : group}`;
  };

  it.each(pods)('is what control groups have: pod $name [C51] [A14.1] [A14.2]', async ({ name }) => {
    let compared = 0;
    for (const { app, name: isolator, outcome, detail } of outcomeOf(name)) {
      const set = detail.split(';')[0]?.split(' ') ?? [];
      const rules = set.flatMap((word) => {
        const [key = '', value = ''] = word.split('=');
        const rule = files[key];
        return rule === undefined ? [] : [{ ...rule, value: rule.kernel(value) }];
      });
      for (const { file, value } of outcome === 'enforced' ? rules : []) {
        const path = `${await groupOf(name, app)}/${file}`;
        const kernel = (await scene.board.check(`cat ${path}`)).trim();
        expect(`${isolator}: ${file} ${kernel}`, `WHERRY_SEED=${seed}`).toBe(`${isolator}: ${file} ${value}`);
        compared++;
      }
    }
    if (scene.board.lacks.controllers === undefined && name !== 'sets') expect(compared).toBeGreaterThan(0);
  });

  it('is set for the disks of host volumes, too [C51]', async () => {
    const [limit] = outcomeOf('shares').filter(({ name }) => name === 'resource/block-bandwidth');
    if (scene.board.lacks.controllers === undefined) expect(limit?.outcome).toBe('modified');
    if (limit?.outcome !== 'modified') return;
    expect(limit.detail).toContain('for the disks of /var/lib/wherry/pods, /srv/ssd/data');
    const lines = (await scene.board.check(`cat ${await groupOf('shares', 'main')}/io.max`)).split('\n');
    for (const path of ['/var/lib/wherry/pods', '/srv/ssd/data']) {
      const [device = ''] = (await scene.board.check(`findmnt -no MAJ:MIN -T ${path}`)).trim().split('\n');
      // Limits apply to whole disks.
      const disk = await scene.board.check(
        `cd /sys/dev/block/${device.trim()}; test -e partition && cd -P ..; cat dev`,
      );
      expect(lines).toContainEqual(expect.stringContaining(`${disk.trim()} rbps=5000000 wbps=5000000`));
    }
  });

  it('has no limit without a controller in the control group [C51]', async () => {
    for (const { name } of pods) {
      const group = await groupOf(name, 'main');
      const controllers = (await scene.board.check(`cat ${group}/cgroup.controllers`)).trim().split(' ');
      for (const { name: isolator, outcome } of outcomeOf(name)) {
        const needed = isolator.startsWith('resource/memory')
          ? 'memory'
          : /cpu/.test(isolator)
            ? 'cpu'
            : isolator === 'wherry/tasks'
              ? 'pids'
              : isolator.startsWith('resource/block')
                ? 'io'
                : undefined;
        if (needed === undefined || controllers.includes(needed)) continue;
        expect([isolator, outcome]).toEqual([isolator, 'ignored']);
      }
    }
  });

  it('is what the process has: OOM score, privileges, capabilities, kernel settings [C51] [A14.9]', async () => {
    const enforced = (pod: string, name: string) =>
      outcomeOf(pod).find((one) => one.name === name && one.outcome === 'enforced') !== undefined;
    expect(enforced('odd', 'os/linux/oom-score-adj')).toBe(true);
    expect((await scene.board.check(`cat /proc/${pidOf('odd')}/oom_score_adj`)).trim()).toBe('250');
    expect(enforced('odd', 'os/linux/no-new-privileges')).toBe(true);
    expect(await scene.board.check(`cat /proc/${pidOf('odd')}/status`)).toMatch(/^NoNewPrivs:\s1$/m);
    expect(enforced('sets', 'os/linux/capabilities-retain-set')).toBe(true);
    // CAP_CHOWN is bit 0 and CAP_KILL bit 5 (linux/capability.h).
    expect(await scene.board.check(`cat /proc/${pidOf('sets')}/status`)).toMatch(/^CapBnd:\s0{14}21$/m);
    expect(enforced('sets', 'os/unix/sysctl')).toBe(hasSysctl);
    if (!hasSysctl) return;
    const msgmax = await scene.board.check(`nsenter -t ${pidOf('sets')} -i cat /proc/sys/kernel/msgmax`);
    expect(msgmax.trim()).toBe('4096');
  });

  const busybox = '/usr/bin/busybox';

  itOn(boardName, 'controllers')('bounds processor time to a tenth [C51] [A14.2]', async () => {
    const group = await groupOf('odd', 'main');
    // Counted by the kernel: what the app used, and the periods in which it could have used more.
    const counted = await scene.board.check(`set -e
      of() { sed -n "s/^$1 //p" ${group}/cpu.stat; }
      wherry exec odd main -- ${busybox} timeout 60 ${busybox} sh -c 'while :; do :; done' &
      throttled=$(of nr_throttled)
      until [ $(($(of nr_throttled) - throttled)) -ge 5 ]; do sleep 0.2; done
      periods=$(of nr_periods) used=$(of usage_usec)
      until [ $(($(of nr_periods) - periods)) -ge 100 ]; do sleep 0.2; done
      echo "$(($(of usage_usec) - used)) $(($(of nr_periods) - periods))"
      kill $!; wait $! || true`);
    const [usedUs = 0, periods = 0] = counted.trim().split(' ').map(Number);
    const share = usedUs / (periods * 33_300);
    expect(share).toBeGreaterThan(0.9);
    expect(share).toBeLessThan(1.1);
  });

  itOn(boardName, 'controllers')('lets no task begin above their number [C51] [A14.2]', async () => {
    const group = await groupOf('whole', 'main');
    const script = `for i in $(${busybox} seq 100); do ${busybox} sleep 15 & done`;
    const { stderr } = await scene.board.run(`wherry exec whole main -- ${busybox} sh -c '${script}'`);
    expect(stderr).toMatch(/resource temporarily unavailable/i);
    const counted = await scene.board.check(
      `cat ${group}/pids.peak; sed -n 's/^max //p' ${group}/pids.events`,
    );
    const [peak, refused] = counted.trim().split('\n').map(Number);
    expect(peak).toBe(64);
    expect(refused).toBeGreaterThan(0);
  });

  itOn(boardName, 'controllers')('bounds what is read from a disk in a second [C51] [A14.2]', async () => {
    await scene.board.check(
      'dd if=/dev/urandom of=/srv/ssd/data/file bs=1M count=10 2>/dev/null; sync; echo 3 >/proc/sys/vm/drop_caches',
    );
    // The clock of the board. A slow board only reads less in a second.
    const uptime = 'read now rest </proc/uptime; echo $now';
    const times = await scene.board.check(
      `wherry exec shares main -- ${busybox} sh -c '${uptime}; ${busybox} cat /srv/file >/dev/null; ${uptime}'`,
    );
    const [start = 0, end = 0] = times.trim().split('\n').map(Number);
    expect((10 << 20) / (end - start), times).toBeLessThan(5_000_000 * 1.15);
  });

  itOn(boardName, 'controllers')('has no limit above the capacity of the device [C51]', () => {
    const memory = outcomeOf('shares').find(({ name }) => name === 'resource/memory');
    expect(memory).toMatchObject({
      outcome: 'modified',
      detail: expect.stringContaining('bounds nothing') as string,
    });
  });
});
