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
