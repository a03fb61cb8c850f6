import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmdirSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { processAlive } from '../../cross/index.ts';
import { poll } from '../guest-channel.ts';
import { PreconditionError } from '../preconditions.ts';

/** `f_type` of a cgroup v2 file system (magic.h). */
const cgroup2Magic = 0x63677270;
const places = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'];

/** The controllers that limit an app. */
const wanted = ['cpu', 'cpuset', 'io', 'memory', 'pids'];

/** Where this machine's cgroup v2 hierarchy is mounted. @throws PreconditionError if it is not */
function hierarchy(): string {
  const found = places.find((path) => existsSync(path) && statfsSync(path).type === cgroup2Magic);
  if (found !== undefined) return found;
  throw new PreconditionError(
    'cgroup v2 is not mounted on this machine: run "mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified" as root.',
  );
}

/** Whether systemd is this machine's PID 1, which then owns the hierarchy. */
function hostHasSystemd(): boolean {
  return existsSync('/run/systemd/system');
}

/** The group of one board. systemd on the board creates its own groups below it. */
export type BoardGroup = {
  /** Absolute path of the group's directory. */
  readonly path: string;
  /** The command prefix that starts a command in the group. */
  readonly prefix: readonly string[];
};

const namePattern = /^wherry-board\.(\d+)\.\d+(\.scope)?$/;
let count = 0;

/**
 * The control group for a new board. If this machine runs systemd, the command prefix creates a
 * scope with delegation; otherwise this function creates the group, at the top of the hierarchy.
 */
export function makeGroup(): BoardGroup {
  const top = hierarchy();
  const name = `wherry-board.${process.pid}.${count++}`;
  if (hostHasSystemd()) {
    const options = ['--scope', '--quiet', '--collect', '--slice=system.slice', '--property=Delegate=yes'];
    return {
      path: join(top, 'system.slice', `${name}.scope`),
      prefix: ['systemd-run', ...options, `--unit=${name}`, '--'],
    };
  }
  removeDeadGroups(top);
  enableControllers(top);
  const path = join(top, name);
  return { path, prefix: ['sh', '-c', 'echo $$ >"$0/cgroup.procs" && exec "$@"', path] };
}

/**
 * Re-creates the group for the next boot: Linux counts how often a group was killed, and
 * 6.18 kills a process that is cloned into a group with another count than its parent's.
 */
export async function renewGroup({ path }: BoardGroup): Promise<void> {
  await poll(
    'the last processes of the board to end',
    120_000,
    () => {
      const processes =
        existsSync(path) && /^populated 1$/m.test(readFileSync(join(path, 'cgroup.events'), 'utf8'));
      if (!processes && existsSync(path)) removeTree(path);
      return Promise.resolve(!processes);
    },
    20,
  );
  if (!hostHasSystemd()) mkdirSync(path);
}

/** The controllers that a board on this machine has. */
export function availableControllers(): readonly string[] {
  try {
    const top = hierarchy();
    const offered = list(join(top, 'cgroup.controllers'));
    if (hostHasSystemd() || process.getuid?.() !== 0) return offered;
    enableControllers(top);
    return list(join(top, 'cgroup.subtree_control'));
  } catch {
    // The start of a board reports what is missing.
    return [];
  }
}

/** Ends every process of a group at once. */
export function killGroup({ path }: BoardGroup): void {
  try {
    writeFileSync(join(path, 'cgroup.kill'), '1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/**
 * Enables what it can. A machine that is itself a container cannot enable controllers while its own
 * group has processes. Its boards lack them then.
 */
function enableControllers(top: string): void {
  for (const name of list(join(top, 'cgroup.controllers')).filter((one) => wanted.includes(one))) {
    try {
      writeFileSync(join(top, 'cgroup.subtree_control'), `+${name}`);
    } catch {
      continue;
    }
  }
}

/** Groups whose keeper was killed together with their board; see keeper.ts. */
function removeDeadGroups(top: string): void {
  for (const entry of readdirSync(top)) {
    const pid = namePattern.exec(entry)?.[1];
    if (pid === undefined || processAlive(Number(pid))) continue;
    try {
      removeTree(join(top, entry));
    } catch {
      continue; // another process removes it, or it still has processes
    }
  }
}

function removeTree(path: string): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(path, entry.name));
  }
  rmdirSync(path);
}

function list(path: string): string[] {
  return readFileSync(path, 'utf8').split(/\s+/).filter(Boolean);
}
