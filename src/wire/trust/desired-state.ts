import type { AcIdentifier, AcName, ImageId, NameValue } from '../../image/appc/index.ts';
import type { Share } from './share.ts';

/**
 * The target of a desired state: one device, all devices of a group, or a share of them. A device
 * knows its groups from its own configuration.
 */
export type Target = { readonly device: AcName } | { readonly group: AcName; readonly share?: Share };

/** The group of a target; undefined when it is a device. */
export function groupOf(target: Target): AcName | undefined {
  return 'group' in target ? target.group : undefined;
}

/** The share of a group; undefined when the target is a whole group, or a device. */
export function shareOf(target: Target): Share | undefined {
  return 'group' in target ? target.share : undefined;
}

/**
 * The state that an operator desires for devices: one versioned, expiring document per target. It
 * is transported as the exact bytes that were signed, and decoded only after their signature was
 * verified.
 */
export interface DesiredState {
  readonly format: 1;
  /** The fleet that the deploy key belongs to (AC Name). */
  readonly fleet: AcName;
  readonly target: Target;
  /** 1 … 2^53-1. A device never obeys a lower version than it has trusted before. */
  readonly version: number;
  /** Seconds since 1970. The newest verified value is a floor for the device's clock. */
  readonly issued: number;
  /** Seconds since 1970; judged only while the device's clock can be trusted. */
  readonly expires: number;
  /** The whole set, replaced as one; empty stops everything. At most 32. */
  readonly pods: readonly DesiredPod[];
  /** Every image that the pods use. At most 64. */
  readonly images: readonly DesiredImage[];
  readonly policy: DeployPolicy;
  /** Secrets that apps may name, each once. Their values are not in the document. At most 32. */
  readonly secrets?: readonly DesiredSecret[];
  /**
   * The target has no command from now on, and the next target of the device counts; without pods
   * and images. Versions of the target continue after this one.
   */
  readonly withdrawn?: true;
}

export interface DesiredSecret {
  readonly name: AcName;
  /** Names one value, see `secretDigest`. Lower-case hex. */
  readonly digest: string;
}

export interface DesiredPod {
  /** Unique within the document. */
  readonly name: AcName;
  /** The exact JSON bytes of the reified pod manifest (pods.md). */
  readonly manifest: Uint8Array;
}

export interface DesiredImage {
  readonly id: ImageId;
  readonly name: AcIdentifier;
  readonly labels: readonly NameValue[];
  /** Size of the .aci file as it is downloaded, in bytes. */
  readonly sizeBytes: number;
  /** Size of the uncompressed tar in bytes: with sizeBytes it bounds the space that is needed. */
  readonly tarSizeBytes: number;
  /**
   * For an app's image whose tree devices must render: the sum of `tarSizeBytes` over its layers. A
   * device uses it only to check its free space before it downloads anything.
   */
  readonly renderedBytes?: number;
  /**
   * http or https addresses of the .aci file, tried in order; the signature is at the address plus
   * `.asc`.
   */
  readonly urls: readonly string[];
}

export interface DeployPolicy {
  /** How long the pods must stay healthy before the deployment is committed. 0 … 86400. */
  readonly probationSeconds: number;
  /** Width of the window over which devices spread their first reconnect. 1 … 3600. */
  readonly reconnectWindowSeconds: number;
  /** Whether a limit that this device cannot enforce refuses the pod or is only reported. */
  readonly limits: 'require' | 'best-effort';
  /** When the set may be replaced; absent is `now`. */
  readonly activation?: Activation;
  /**
   * Whether a set under which the device loses its broker for longer than the reconnect window and
   * a minute is undone; absent is `roll-back`. Judged only if the broker was connected before.
   */
  readonly brokerLoss?: 'roll-back' | 'ignore';
}

/**
 * What an activation waits for. Locks of the device hold it for every `when`; `force` overrides
 * `when` and locks. Fetching and staging never wait.
 */
export interface Activation {
  /**
   * `now`; `window`: while one of the windows is open; `next-boot`: not in the boot in which the
   * version arrived; `approval`: after a person has approved the version on the device.
   */
  readonly when: 'now' | 'window' | 'next-boot' | 'approval';
  /** Only with `when: window`, 1 to 4. */
  readonly windows?: readonly MaintenanceWindow[];
  readonly force?: true;
}

/** Opens when the expression matches and is open for its duration. */
export interface MaintenanceWindow {
  /** A cron expression of five fields. */
  readonly cron: string;
  /** 60 … 86400. */
  readonly durationSeconds: number;
  /** A name of the time zone database, such as `Europe/Berlin`. */
  readonly timeZone: string;
}
