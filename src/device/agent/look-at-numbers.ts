import { readdirSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { readSmallFile } from '../host/index.ts';
import type { DeviceWorld, PodWatch } from '../world/index.ts';
import type { AppReading, Readings } from './readings.ts';

const thermal = '/sys/class/thermal';
const firmware = '/sys/devices/platform/soc/soc:firmware/get_throttled';

/** Reads the kernel's numbers of the device, without starting a process. */
export async function lookAtDevice(
  store: string,
): Promise<Omit<Readings, 'atMs' | 'monotonicMs' | 'clockTrusted' | 'apps'>> {
  const { bsize, blocks, bfree } = await statfs(store);
  const names = readNames(thermal);
  const coolsCpu = (name: string): boolean =>
    /cpufreq|processor/i.test(readSmallFile(join(thermal, name, 'type')) ?? '');
  return {
    disk: { usedBytes: (blocks - bfree) * bsize, totalBytes: blocks * bsize },
    stat: readSmallFile('/proc/stat'),
    memory: readSmallFile('/proc/meminfo'),
    load: readSmallFile('/proc/loadavg'),
    uptime: readSmallFile('/proc/uptime'),
    temperatures: readAll(
      names.filter((name) => name.startsWith('thermal_zone')),
      'temp',
    ),
    coolings: readAll(
      names.filter((name) => name.startsWith('cooling_device') && coolsCpu(name)),
      'cur_state',
    ),
    firmware: readSmallFile(firmware),
  };
}

/** The numbers of every app that the device has. */
export async function lookAtApps(world: Pick<DeviceWorld, 'pods'>, watch: PodWatch): Promise<AppReading[]> {
  const apps: AppReading[] = [];
  for (const pod of world.pods) {
    for (const { report } of await watch.observe(pod)) {
      const { name, restarts, oomKills, memoryBytes, cpuUsec } = report;
      apps.push({
        ...{ pod: pod.name, app: name, restarts, oomKills },
        ...(memoryBytes === undefined ? {} : { memoryBytes }),
        ...(cpuUsec === undefined ? {} : { cpuUsec }),
      });
    }
  }
  return apps;
}

function readNames(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return []; // no sensor, or a kernel without the class
  }
}

/** A zone whose sensor does not answer is left out. */
function readAll(names: readonly string[], file: string): readonly string[] {
  return names.flatMap((name) => readSmallFile(join(thermal, name, file))?.trim() ?? []);
}
