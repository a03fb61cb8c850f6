/** The numbers of one control group (v2), as text files of the kernel give them. */
export interface CgroupReadings {
  readonly memoryBytes?: number;
  readonly memoryPeakBytes?: number;
  /** Absent when there is no limit. */
  readonly memoryMaxBytes?: number;
  readonly oomKills: number;
  readonly cpuUsec?: number;
  readonly tasks?: number;
}

/**
 * Reads a small file of the cgroup file system; undefined when the controller or the group does not
 * exist.
 */
export type ReadCgroupFile = (controlGroup: string, file: string) => string | undefined;

/**
 * Reads a control group without starting a process or keeping a file open. A group that is gone
 * yields no numbers but 0 OOM kills.
 */
export function readCgroup(controlGroup: string, read: ReadCgroupFile): CgroupReadings {
  const whole = (file: string): number | undefined => toCount(read(controlGroup, file));
  const keyed = (file: string, key: string): number | undefined =>
    toCount(valueOf(read(controlGroup, file), key));
  return {
    oomKills: keyed('memory.events', 'oom_kill') ?? 0,
    ...defined('memoryBytes', whole('memory.current')),
    ...defined('memoryPeakBytes', whole('memory.peak')),
    ...defined('memoryMaxBytes', whole('memory.max')),
    ...defined('cpuUsec', keyed('cpu.stat', 'usage_usec')),
    ...defined('tasks', whole('pids.current')),
  };
}

/** The value of `key` in a flat keyed file such as memory.events. */
function valueOf(text: string | undefined, key: string): string | undefined {
  return text
    ?.split('\n')
    .find((line) => line.startsWith(`${key} `))
    ?.slice(key.length + 1);
}

/** A decimal count; `max` and anything unexpected give none. */
function toCount(text: string | undefined): number | undefined {
  const digits = text?.trim();
  return digits !== undefined && /^[0-9]{1,16}$/.test(digits) ? Number(digits) : undefined;
}

function defined<Key extends string>(key: Key, value: number | undefined): Partial<Record<Key, number>> {
  return value === undefined ? {} : ({ [key]: value } as Partial<Record<Key, number>>);
}
