import type { DeploymentReport } from './deployment-report.ts';
import type { IsolatorReport } from './isolator-report.ts';

/**
 * The report of a device, retained on `reported`, as deterministic CBOR. Keys are short words, not
 * numbers, so that any CBOR tool shows a readable document; a report of one pod stays below 4 KiB.
 */
export interface DeviceReport {
  readonly format: 1;
  readonly fleet: string;
  readonly device: string;
  /** Kernel boot ID; with `seq` it orders reports. */
  readonly bootId: string;
  /** Counts reports since wherryd started in this boot. */
  readonly seq: number;
  /** Seconds since 1970 by the device's clock. */
  readonly at: number;
  readonly wherry: string;
  /** The highest version for this device that was ever trusted; 0 before the first. */
  readonly trustedVersion: number;
  /** Present when that version has withdrawn the device's own command. */
  readonly withdrawn?: true;
  /** The root of trust; absent on a device without one. */
  readonly root?: { readonly version: number; readonly expires: number };
  /** The version that runs and was committed; 0 when none. */
  readonly currentVersion: number;
  /** The group whose version that is; absent when it is the device's own. */
  readonly group?: string;
  /** The groups of the device in order of precedence; absent when it is in none. */
  readonly groups?: readonly {
    readonly name: string;
    /** The highest version for the group that was ever trusted; 0 before the first. */
    readonly trustedVersion: number;
    /** Present when that version has withdrawn the group's command. */
    readonly withdrawn?: true;
  }[];
  /** From its configuration; absent when there are none. */
  readonly labels?: readonly { readonly name: string; readonly value: string }[];
  /** The deployment that is under way or ended last. */
  readonly deployment?: DeploymentReport;
  /** The last message that was refused before it became a deployment. */
  readonly refused?: {
    readonly code: string;
    readonly message: string;
    readonly at: number;
    readonly version?: number;
    /** The group on whose topic it arrived; absent: the device's own topic. */
    readonly group?: string;
  };
  readonly pods: readonly PodReport[];
  readonly capabilities: readonly CapabilityReport[];
  /**
   * Stored images of the current or previous version that differ from what was verified; absent
   * when there are none.
   */
  readonly damaged?: readonly DamagedImage[];
  /** The broker of the session; absent on a device that has only one address. */
  readonly broker?: BrokerUse;
}

export interface BrokerUse {
  readonly url: string;
  /** Its position in the configuration, counted from 1, and the number of addresses. */
  readonly at: number;
  readonly of: number;
}

export interface DamagedImage {
  readonly imageId: string;
  readonly name: string;
  readonly message: string;
}

export interface PodReport {
  readonly name: string;
  readonly uuid: string;
  readonly healthy: boolean;
  readonly apps: readonly AppReport[];
  readonly isolators: readonly IsolatorReport[];
  /** Its network with its addresses there; absent for the network of the host. */
  readonly network?: { readonly name: string; readonly addresses: readonly string[] };
}

export interface AppReport {
  readonly name: string;
  readonly imageId: string;
  /** systemd's ActiveState and SubState, for example `active/running`. */
  readonly state: string;
  readonly pid?: number;
  readonly restarts: number;
  /** Result of the last run as systemd reports it; `oom-kill` when the memory limit was hit. */
  readonly lastResult: string;
  readonly oomKills: number;
  readonly memoryBytes?: number;
  readonly memoryPeakBytes?: number;
  readonly memoryMaxBytes?: number;
  readonly cpuUsec?: number;
  readonly tasks?: number;
  /** The result of its probes; absent when it has none. */
  readonly probe?: {
    readonly state: 'starting' | 'passing' | 'failing';
    /** The result of the last probe, in words. */
    readonly detail: string;
  };
}

export interface CapabilityReport {
  readonly name: string;
  readonly available: boolean;
  /** What to do when it is missing. */
  readonly detail: string;
}

/** Retained on `live`; the last will carries the same with `up: false`. */
export interface Presence {
  readonly format: 1;
  readonly bootId: string;
  /**
   * Counts connections since wherryd started in this boot: a late will of an older connection has
   * no effect.
   */
  readonly connection: number;
  readonly up: boolean;
}

/**
 * One terminal answer to one command, on `event`. Every outcome except `committed` has a code for
 * the reason.
 */
export type DeploymentEvent = {
  readonly format: 1;
  readonly bootId: string;
  readonly at: number;
  /** 0 when the message was too broken to have one. */
  readonly version: number;
  /** The group whose command it was; absent: the device's own. */
  readonly group?: string;
} & (
  | { readonly outcome: 'committed' }
  | {
      readonly outcome: 'rolled-back' | 'refused' | 'superseded';
      readonly code: string;
      readonly message: string;
    }
);
