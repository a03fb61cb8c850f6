import type { DesiredState } from '../trust/index.ts';
import type { CompiledPod } from '../pod/index.ts';

/**
 * What wherryd must remember over a power cut; everything else is derived from the world. It lies in two slots
 * (store/), each with a generation and a checksum.
 */
export interface DeviceState {
  readonly format: 1;
  /** The highest desired state that was ever trusted: version, digest of its payload, newest issue time. */
  readonly trusted: TrustedMark;
  readonly current?: Deployment;
  readonly previous?: Deployment;
  readonly pending?: PendingDeployment;
  /** Verified image objects by image ID. */
  readonly images: readonly StoredImage[];
}

export interface TrustedMark {
  readonly version: number;
  /** SHA-256 of the payload, lower-case hex; empty before the first. */
  readonly payloadSha256: string;
  /** Seconds since 1970: the floor of the clock. */
  readonly issued: number;
}

export interface Deployment {
  readonly version: number;
  /** UUIDs and unit names of the pods that make it up. */
  readonly pods: readonly DeployedPod[];
  readonly imageIds: readonly string[];
}

export type DeployedPod = Pick<CompiledPod, 'name' | 'uuid' | 'slice' | 'services' | 'mounts'>;

export interface PendingDeployment {
  readonly desired: DesiredState;
  readonly phase: 'fetch' | 'stage' | 'activate' | 'probation';
  /** How often activation was begun; a board that dies in it goes back after the third. */
  readonly attempts: number;
}

export interface StoredImage {
  readonly id: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly manifest: Uint8Array;
}
