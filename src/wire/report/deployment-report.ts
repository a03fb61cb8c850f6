/** Where a deployment is; the last four are terminal. */
export type DeploymentPhase = DeploymentReport['phase'];

/** What a device reports about the deployment that is under way or ended last. */
export type DeploymentReport = DeploymentUnderWay | DeploymentEnd;

export interface DeploymentUnderWay {
  readonly version: number;
  /** The group whose command it is; absent: the device's own. */
  readonly group?: string;
  readonly phase: 'fetch' | 'stage' | 'wait' | 'activate' | 'probation';
  /** While waiting: what for, in words. */
  readonly why?: string;
  /** While fetching: bytes over all images. */
  readonly receivedBytes?: number;
  readonly totalBytes?: number;
  /** While pods are stopped and started: what is done now, in words. */
  readonly step?: string;
}

/** How a deployment ended: committed, or with a code for the reason. */
export type DeploymentEnd =
  | { readonly version: number; readonly group?: string; readonly phase: 'committed' }
  | {
      readonly version: number;
      readonly group?: string;
      readonly phase: 'rolled-back' | 'refused' | 'superseded';
      readonly code: string;
      readonly message: string;
    };
