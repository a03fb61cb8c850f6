import type { Readings } from '../../src/device/agent/readings.ts';

/** One reading of a device with two processors, in the form of the kernel. */
export function sampleReadings(changes: Partial<Readings> = {}): Readings {
  return {
    atMs: 1_767_225_600_000,
    monotonicMs: 0,
    clockTrusted: true,
    disk: { usedBytes: 4_000_000_000, totalBytes: 16_000_000_000 },
    stat: 'cpu  1000 0 500 8000 500 0 0 0 0 0\ncpu0 500 0 250 4000 250 0 0 0 0 0\n',
    memory: 'MemTotal:        1000000 kB\nMemFree:          100000 kB\nMemAvailable:     600000 kB\n',
    load: '0.52 0.40 0.31 1/123 4567\n',
    uptime: '86400.55 170000.00\n',
    temperatures: ['45123', '51500'],
    coolings: ['0', '0'],
    apps: [
      { pod: 'web', app: 'nginx', restarts: 1, oomKills: 0, memoryBytes: 20_000_000, cpuUsec: 1_000_000 },
    ],
    ...changes,
  };
}
