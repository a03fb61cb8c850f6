import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { machine } from 'node:os';
import { join } from 'node:path';
import type { CapabilityReport } from '../../wire/report/index.ts';
import type { ReadCgroupFile } from '../health/index.ts';
import { architecturesOf } from './architectures.ts';

const catatonit = '/usr/bin/catatonit';
const cgroupRoot = '/sys/fs/cgroup';

/** What this device is; read once at the start. */
export interface Host {
  readonly bootId: string;
  /** Controllers of cgroup v2 that the kernel offers. */
  readonly controllers: readonly string[];
  readonly memoryBytes: number;
  readonly cpuCount: number;
  /** Node's name for the architecture. */
  readonly machine: string;
  /** Values of the `arch` label that it runs, best first. */
  readonly architectures: readonly string[];
  /** The first process of a pod with several apps; absent when it is not installed. */
  readonly holderPath?: string;
  readonly capabilities: readonly CapabilityReport[];
}

/** What a missing controller costs and how to get it. */
const controllerAdvice: Readonly<Record<string, string>> = {
  memory: 'memory limits cannot be enforced; add cgroup_enable=memory to the kernel command line',
  cpu: 'CPU limits cannot be enforced; the kernel needs CONFIG_CFS_BANDWIDTH',
  pids: 'task limits cannot be enforced; the kernel needs CONFIG_CGROUP_PIDS',
  io: 'block I/O limits cannot be enforced; the kernel needs CONFIG_BLK_CGROUP',
};

/**
 * Detects what the device is. A device without cgroup v2 has no controllers, and reports that.
 *
 * @param run the directory in memory where other units of wherry leave their results
 * @param unsealable why image objects cannot be sealed, undefined when they can
 * @throws Refusal `device-unsupported`
 */
export function lookAtHost(run: string, unsealable: string | undefined): Host {
  const { runs, capabilities } = architecturesOf({
    machine: machine(),
    processArch: process.arch,
    machine32: readSmallFile(join(run, 'arm32'))?.trim(),
  });
  const controllers = (readSmallFile(join(cgroupRoot, 'cgroup.controllers')) ?? '')
    .split(/\s+/)
    .filter(Boolean);
  return {
    bootId: (readSmallFile('/proc/sys/kernel/random/boot_id') ?? '').trim(),
    controllers,
    memoryBytes:
      Number(/^MemTotal:\s+([0-9]+) kB/m.exec(readSmallFile('/proc/meminfo') ?? '')?.[1] ?? 0) * 1024,
    cpuCount: readdirSync('/sys/devices/system/cpu').filter((name) => /^cpu[0-9]+$/.test(name)).length,
    machine: process.arch,
    architectures: runs,
    ...(existsSync(catatonit) ? { holderPath: catatonit } : {}),
    capabilities: [
      ...Object.entries(controllerAdvice).map(([name, advice]) => {
        const available = controllers.includes(name);
        return { name: `cgroup-${name}`, available, detail: available ? '' : advice };
      }),
      {
        name: 'shared-namespaces',
        available: existsSync(catatonit),
        detail: existsSync(catatonit) ? '' : 'pods with several apps cannot run; install catatonit',
      },
      {
        name: 'fs-verity',
        available: unsealable === undefined,
        detail: unsealable === undefined ? '' : `image objects are not sealed; ${unsealable}`,
      },
      ...capabilities,
    ],
  };
}

/** Reads one file of a control group, at most a page. */
export const readCgroupFile: ReadCgroupFile = (controlGroup, file) =>
  controlGroup.startsWith('/') ? readSmallFile(join(cgroupRoot, controlGroup, file)) : undefined;

/**
 * Addresses of a pod, from the lines that its network unit adds to the hosts file of the network.
 */
export function readPodAddresses(run: string, network: string, uuid: string): readonly string[] {
  const lines = (readSmallFile(join(run, 'names', `${network}.d`, uuid)) ?? '').split('\n');
  return lines.map((line) => line.split(' ')[0] ?? '').filter((address) => isIP(address) !== 0);
}

/** Reads a file that a kernel or a unit of wherry wrote; undefined when there is none. */
export function readSmallFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // not on this kernel, or the group is gone
  }
}
