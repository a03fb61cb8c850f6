import type { ImageId } from '../../image/appc/index.ts';
import type { CompiledPod } from '../pod/index.ts';
import type { DeploymentEnd } from '../../wire/report/index.ts';
import type { StoredImage, StoredTree, TreeId } from '../store/index.ts';
import type { DeployEra, DesiredState, RootDocument, TrustedVersion } from '../../wire/trust/index.ts';

/**
 * What wherry must remember over a power cut; everything else is derived from the world. It lies in
 * two slots (store/), each with a generation and a checksum.
 */
export interface DeviceState {
  readonly format: 1;
  /** Of the commands for this device itself. */
  readonly trusted: TargetMark;
  /** Of the commands for groups, each once; absent before the first. At most 64. */
  readonly groups?: readonly (TargetMark & { readonly name: string })[];
  /**
   * The group whose command was taken up last; absent when it was the device's own. What was rolled
   * back is not tried again because of it.
   */
  readonly follows?: string;
  /**
   * The root of trust; absent on a device that goes by its directories of keys. It is never taken
   * away.
   */
  readonly root?: TrustedRoot;
  readonly current?: Deployment;
  readonly previous?: Deployment;
  readonly pending?: PendingDeployment;
  /** How the last deployment ended: told again after a reboot, and never tried again by itself. */
  readonly last?: DeploymentEnd;
  /** Verified image objects. */
  readonly images: readonly StoredImage[];
  /** Trees that were rendered of them; absent when there are none. */
  readonly trees?: readonly StoredTree[];
}

/** What is remembered of the commands for one target. */
export interface TargetMark extends TrustedVersion {
  /**
   * The target has no command for this device, and the next target counts: the newest one has
   * withdrawn it, or was for a share of the group without this device (`standAside`).
   */
  readonly withdrawn?: true;
}

export interface TrustedRoot {
  readonly document: RootDocument;
  /**
   * In which versions of desired states are counted; absent before a root took a deploy key out.
   */
  readonly era?: DeployEra;
}

export interface Deployment {
  readonly version: number;
  /** The group whose version it is; absent when it is the device's own. */
  readonly group?: string;
  /** UUIDs and unit names of the pods that make it up. */
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
   * How often activation was begun: a device that dies in it goes back after the third time. Above
   * 0, pods of the current deployment may have been stopped, by this deployment or by one that it
   * superseded.
   */
  readonly attempts: number;
  /** The boot in which it was accepted; only of an activation that waits for another one. */
  readonly bootId?: string;
}

/** The state of a device that was never commanded. */
export const emptyState: DeviceState = {
  format: 1,
  trusted: { version: 0, payloadSha256: '', issued: 0 },
  images: [],
};
