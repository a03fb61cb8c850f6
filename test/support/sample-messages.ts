import type { DeploymentEvent, DeviceReport } from '../../src/wire/report/report.ts';

export function sampleReport(changes: Partial<DeviceReport> = {}): DeviceReport {
  return {
    format: 1,
    fleet: 'harbour',
    device: 'crane-7',
    bootId: 'boot-a',
    seq: 1,
    at: 1_767_225_600,
    wherry: '0.1.0',
    trustedVersion: 3,
    currentVersion: 3,
    pods: [],
    capabilities: [],
    ...changes,
  };
}

export function sampleEvent(changes: Partial<DeploymentEvent> = {}): DeploymentEvent {
  const committed = {
    format: 1,
    bootId: 'boot-a',
    at: 1_767_225_600,
    version: 3,
    outcome: 'committed',
  } as const;
  return { ...committed, ...changes } as DeploymentEvent;
}

const imageId = `sha512-${'a'.repeat(128)}`;
const version = 4;

/** Reports that together have every possible field. */
export const fullReports: readonly DeviceReport[] = [
  sampleReport({
    withdrawn: true,
    root: { version: 1, expires: 1_900_000_000 },
    group: 'north',
    groups: [{ name: 'north', trustedVersion: 3, withdrawn: true }],
    labels: [{ name: 'floor', value: '2' }],
    deployment: { version, group: 'north', phase: 'fetch', receivedBytes: 5, totalBytes: 10 },
    refused: { code: 'unsigned', message: 'no signature', at: 1, version: 5, group: 'north' },
    pods: [
      {
        name: 'web',
        uuid: '00000000-0000-8000-8000-000000000000',
        healthy: true,
        apps: [
          {
            ...{ name: 'nginx', imageId, state: 'active/running', pid: 17, restarts: 0 },
            ...{ lastResult: 'success', oomKills: 0, memoryBytes: 1, memoryPeakBytes: 2, memoryMaxBytes: 3 },
            ...{ cpuUsec: 4, tasks: 5, probe: { state: 'passing', detail: 'status 200' } },
          },
        ],
        isolators: [{ app: 'nginx', name: 'resource/memory', outcome: 'enforced', detail: 'MemoryMax=64M' }],
        network: { name: 'bridge', addresses: ['10.173.0.2'] },
      },
    ],
    capabilities: [{ name: 'erofs', available: true, detail: '' }],
    damaged: [{ imageId, name: 'example.com/web', message: 'the stored object is missing' }],
    broker: { url: 'mqtt://broker.example', at: 1, of: 2 },
  }),
  sampleReport({ deployment: { version, phase: 'wait', why: 'a lock' } }),
  sampleReport({ deployment: { version, phase: 'activate', step: 'starts pod web' } }),
  sampleReport({ deployment: { version, group: 'north', phase: 'committed' } }),
  sampleReport({
    deployment: { version, group: 'north', phase: 'refused', code: 'no-space', message: 'the disk is full' },
  }),
];
