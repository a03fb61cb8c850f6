import type { TypedIsolator } from '../../image/appc/index.ts';
import type { ResourceLimits } from '../systemd/index.ts';
import type { NetworkLimit } from '../network/index.ts';
import type { HostFacts } from './compiled-pod.ts';

/** The outcome of one isolator: directives of a unit, and the text for the report. */
export interface LimitOutcome {
  readonly directives: ResourceLimits;
  readonly outcome: 'enforced' | 'modified' | 'ignored';
  readonly detail: string;
  /** The limit that the pod's network must enforce. */
  readonly networkBytesPerSecond?: bigint;
}

/** The host, as it is for the limits of one pod or app. */
export interface LimitedHost extends HostFacts {
  /** The outcome of a limit in bytes per second in its network. */
  readonly networkLimit: (bytesPerSecond: bigint) => NetworkLimit;
  readonly disks: UsedDisks;
}

/** Where a pod or an app reads and writes: the directory of pods, and its host volumes. */
export interface UsedDisks {
  /** Paths on a block device. */
  readonly limited: readonly string[];
  /** Paths on none that has limits: a file system in memory, of the network, or in layers. */
  readonly others: readonly string[];
}

type LimitKind = Extract<
  TypedIsolator,
  { kind: `resource/${string}` | 'wherry/tasks' | 'os/linux/cpu-shares' }
>['kind'];

interface LimitRule<K extends LimitKind> {
  /** cgroup v2 controller that enforces it; undefined: nothing does. */
  readonly controller: string | undefined;
  readonly apply: (isolator: Extract<TypedIsolator, { kind: K }>, host: LimitedHost) => LimitOutcome;
}

/**
 * The most tasks that a kernel of 32-bit words counts (PID_MAX_LIMIT, linux/threads.h). Its
 * pids.max refuses more, and systemd then leaves the app without a limit.
 */
const mostTasks32 = 32_768;

/**
 * Isolator → properties of systemd (systemd.resource-control(5)), on an app's service and on a
 * pod's slice alike.
 */
const limitRules: { readonly [K in LimitKind]: LimitRule<K> } = {
  'resource/memory': {
    controller: 'memory',
    apply: ({ limitBytes, requestBytes }, host) => {
      const low =
        requestBytes !== undefined && requestBytes < (limitBytes ?? Infinity) ? requestBytes : undefined;
      const directives: ResourceLimits = {
        ...(limitBytes === undefined ? {} : { MemoryMax: inPages(limitBytes), MemorySwapMax: 0 }),
        ...(low === undefined ? {} : { MemoryLow: low }),
      };
      if (limitBytes !== undefined && low === undefined) {
        if (host.memoryBytes > 0 && limitBytes > BigInt(host.memoryBytes)) {
          return done('modified', directives, 'more than the memory of this device, so it bounds nothing');
        }
        if (inPages(limitBytes) !== limitBytes) {
          return done('modified', directives, 'the kernel counts whole pages');
        }
      }
      // memory.low is effective only up to that of the ancestors, which are shared with other pods.
      return low === undefined
        ? done('enforced', directives)
        : done('modified', directives, 'the request protects against other apps of the pod only');
    },
  },
  'resource/cpu': {
    controller: 'cpu',
    apply: ({ limitMilliCores, requestMilliCores }, host) => {
      const limit = limitMilliCores === undefined ? {} : { CPUQuota: percent(limitMilliCores) };
      if (requestMilliCores === undefined) {
        const isMore = limitMilliCores !== undefined && limitMilliCores > BigInt(host.cpuCount) * 1000n;
        return isMore
          ? done(
              'modified',
              limit,
              `more than the ${host.cpuCount} cores of this device, so it bounds nothing`,
            )
          : done('enforced', limit);
      }
      const weight = { CPUWeight: weightOfShares((requestMilliCores * 1024n) / 1000n) };
      return done(
        'modified',
        { ...limit, ...weight },
        'the request is a share under contention, not a reserve',
      );
    },
  },
  'os/linux/cpu-shares': {
    controller: 'cpu',
    apply: ({ shares }) => done('enforced', { CPUWeight: weightOfShares(BigInt(shares)) }),
  },
  'resource/block-bandwidth': {
    controller: 'io',
    apply: ({ limitBytesPerSecond }, { disks }) =>
      onDisks(disks, limitBytesPerSecond, 'IOReadBandwidthMax', 'IOWriteBandwidthMax'),
  },
  'resource/block-iops': {
    controller: 'io',
    apply: ({ limitPerSecond }, { disks }) =>
      onDisks(disks, limitPerSecond, 'IOReadIOPSMax', 'IOWriteIOPSMax'),
  },
  'resource/network-bandwidth': {
    controller: undefined,
    apply: ({ limitBytesPerSecond }, host) => {
      const { outcome, detail } = host.networkLimit(limitBytesPerSecond);
      const enforced = outcome === 'enforced' ? { networkBytesPerSecond: limitBytesPerSecond } : {};
      return { directives: {}, outcome, detail, ...enforced };
    },
  },
  'wherry/tasks': {
    controller: 'pids',
    apply: ({ limit }, host) =>
      host.machine === 'arm' && limit > mostTasks32
        ? done('modified', { TasksMax: mostTasks32 }, 'a 32-bit device has no more')
        : done('enforced', { TasksMax: limit }),
  },
};

/** Whether `isolator` is one that this table turns into limits. */
export function isLimit(isolator: TypedIsolator): isolator is Extract<TypedIsolator, { kind: LimitKind }> {
  return Object.hasOwn(limitRules, isolator.kind);
}

/** The outcome of a limit on this host. */
export function limitOutcome(
  isolator: Extract<TypedIsolator, { kind: LimitKind }>,
  host: LimitedHost,
): LimitOutcome {
  const rule = limitRules[isolator.kind] as LimitRule<LimitKind>;
  if (rule.controller !== undefined && !host.controllers.includes(rule.controller)) {
    return {
      directives: {},
      outcome: 'ignored',
      detail: `the kernel gives no ${rule.controller} controller (see its command line)`,
    };
  }
  return rule.apply(isolator, host);
}

function done(outcome: 'enforced' | 'modified', directives: ResourceLimits, remark?: string): LimitOutcome {
  const entries = Object.entries(directives) as [string, bigint | number | string | { limit: bigint }][];
  const set = entries.map(([key, value]) => `${key}=${typeof value === 'object' ? value.limit : value}`);
  return {
    directives,
    outcome,
    detail: [set.join(' '), ...(remark === undefined ? [] : [remark])].join('; '),
  };
}

/** systemd finds the block device of each path when it makes the control group. */
function onDisks(
  { limited, others }: UsedDisks,
  limit: bigint,
  ...keys: readonly (keyof ResourceLimits)[]
): LimitOutcome {
  if (limited.length === 0) {
    return { directives: {}, outcome: 'ignored', detail: `no block device is below ${others.join(', ')}` };
  }
  const except = others.length === 0 ? '' : `, not of ${others.join(', ')}`;
  const directives = Object.fromEntries(keys.map((key) => [key, { paths: limited, limit }]));
  return done('modified', directives, `for the disks of ${limited.join(', ')}${except}`);
}

/**
 * The kernel rounds down to pages. Rounding up first keeps the limit from being lower than
 * specified.
 */
function inPages(bytes: bigint): bigint {
  const pageBytes = 4096n;
  return ((bytes + pageBytes - 1n) / pageBytes) * pageBytes;
}

/** Thousandths of a core as a percentage of one core, exactly: 1234 → `123.4%`. */
function percent(milliCores: bigint): string {
  const tenths = milliCores % 10n;
  return `${milliCores / 10n}${tenths === 0n ? '' : `.${tenths}`}%`;
}

/**
 * cgroup v1 shares as a v2 weight, the kernel's and systemd's own formula: 2 … 262144 → 1 … 10000.
 */
function weightOfShares(shares: bigint): bigint {
  const clamped = shares < 2n ? 2n : shares > 262144n ? 262144n : shares;
  return 1n + ((clamped - 2n) * 9999n) / 262142n;
}
