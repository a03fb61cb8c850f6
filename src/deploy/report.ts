/** Where a deployment is; the last four are terminal. */
export type DeploymentPhase =
  'fetch' | 'stage' | 'activate' | 'probation' | 'committed' | 'rolled-back' | 'refused' | 'superseded';

/** What a device says of its deployment that is under way or ended last. */
export interface DeploymentReport {
  readonly version: number;
  readonly phase: DeploymentPhase;
  /** Set with rolled-back, refused and superseded. */
  readonly code?: string;
  readonly message?: string;
  /** While fetching: bytes over all images. */
  readonly receivedBytes?: number;
  readonly totalBytes?: number;
  /** While pods are stopped and started: what is done now, in words. */
  readonly step?: string;
}
