import type { DeviceReport } from '../../wire/report/index.ts';
import { type DesiredPod, podUuid } from '../../wire/trust/index.ts';

/**
 * What a command would do to the pods of a device, according to the device's last report. Pods by
 * name.
 */
export interface DeployPreview {
  readonly device: string;
  /** The version that runs; 0 when none. */
  readonly currentVersion: number;
  /** When the report was made: seconds since 1970 by the device's clock. */
  readonly reportedAt: number;
  /**
   * A version that the device is deploying, so that other pods may run when the command arrives.
   */
  readonly underWay?: number;
  readonly stop: readonly string[];
  readonly start: readonly string[];
  /** Unchanged: their processes keep running. */
  readonly keep: readonly string[];
}

/** A pod whose manifest changes is in both `stop` and `start`. */
export function previewDeploy(report: DeviceReport, wanted: readonly DesiredPod[]): DeployPreview {
  const uuids = new Map(wanted.map(({ name, manifest }) => [podUuid(name, manifest), name]));
  const running = new Set(report.pods.map(({ uuid }) => uuid));
  const { deployment } = report;
  return {
    device: report.device,
    currentVersion: report.currentVersion,
    reportedAt: report.at,
    ...(deployment === undefined || deployment.phase === 'committed' || 'code' in deployment
      ? {}
      : { underWay: deployment.version }),
    stop: report.pods.filter(({ uuid }) => !uuids.has(uuid)).map(({ name }) => name),
    start: [...uuids].filter(([uuid]) => !running.has(uuid)).map(([, name]) => name),
    keep: [...uuids].filter(([uuid]) => running.has(uuid)).map(([, name]) => name),
  };
}
