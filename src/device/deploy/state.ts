import type { ImageId } from '../../image/appc/index.ts';
import type { CompiledPod } from '../pod/index.ts';
import type { DeploymentEnd } from '../../wire/report/index.ts';
import type { StoredImage, StoredTree, TreeId } from '../store/index.ts';
import type { DeployEra, DesiredState, RootDocument, TrustedVersion } from '../../wire/trust/index.ts';

/**
 * What wherry must keep over a power cut; everything else is derived from the device. It is stored
 * in two slots (store/), each with a generation and a checksum.
 */
export interface DeviceState {
  readonly format: 1;
  /** The mark of the commands for this device itself. */
  readonly trusted: TargetMark;
  /** The marks of the commands for groups, one each; absent before the first. At most 64. */
  readonly groups?: readonly (TargetMark & { readonly name: string })[];
  /**
   * The group whose command was accepted last; absent when it was the device's own. Because of it,
   * a command that was rolled back is not tried again.
   */
  readonly follows?: string;
  /**
   * The root of trust; absent on a device that uses its directories of keys. It is never removed.
   */
  readonly root?: TrustedRoot;
  readonly current?: Deployment;
  readonly previous?: Deployment;
  readonly pending?: PendingDeployment;
  /**
   * How the last deployment ended. It is reported again after a reboot, and never retried by
   * itself.
   */
  readonly last?: DeploymentEnd;
  /** Verified image objects. */
  readonly images: readonly StoredImage[];
  /** Trees that were rendered from them; absent when there are none. */
  readonly trees?: readonly StoredTree[];
}

/** The newest trusted command for one target. */
export interface TargetMark extends TrustedVersion {
  /**
   * The target has no command for this device, so the next target has precedence. The newest
   * command withdrew the target, or is for a share of the group without this device (`standAside`).
   */
  readonly withdrawn?: true;
}

export interface TrustedRoot {
  readonly document: RootDocument;
  /**
   * The era in which versions of desired states are counted; absent until a root removes a deploy
   * key.
   */
  readonly era?: DeployEra;
}

export interface Deployment {
  readonly version: number;
  /** The group of the version; absent when it is the device's own. */
  readonly group?: string;
  /** UUIDs and unit names of its pods. */
  readonly pods: readonly DeployedPod[];
  readonly imageIds: readonly ImageId[];
  /** The rendered trees that its pods run in; absent when there are none. */
  readonly treeIds?: readonly TreeId[];
}

/**
 * What remains of a compiled pod once its files are on the disk: the names that are needed to
 * start, stop and report it.
 */
export type DeployedPod = Pick<
  CompiledPod,
  'name' | 'uuid' | 'slice' | 'services' | 'mounts' | 'timer' | 'isolators' | 'network'
>;

export interface PendingDeployment {
  readonly desired: DesiredState;
  /**
   * How many times the activation was begun: a device that goes down in it returns to the previous
   * set after the third time. Above 0, pods of the current deployment may have been stopped, by
   * this deployment or by one that it superseded.
   */
  readonly attempts: number;
  /** Whether the device was connected to its broker when an activation was begun. */
  readonly hadBroker?: true;
  /** The boot in which it was accepted; only for an activation that waits for the next one. */
  readonly bootId?: string;
}

/** The state of a device that was never commanded. */
export const emptyState: DeviceState = {
  format: 1,
  trusted: { version: 0, payloadSha256: '', issued: 0 },
  images: [],
};
