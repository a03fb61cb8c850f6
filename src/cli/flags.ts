import type { ActivationFlags } from '../operator/fleet/index.ts';

/** The options of each command, as commander hands them over. */

export interface BuildFlags {
  readonly output: string;
  readonly manifest?: string;
  readonly name?: string;
  readonly label?: readonly string[];
  readonly exec?: readonly string[];
  readonly user: string;
  readonly group: string;
  readonly env?: readonly string[];
  readonly workdir?: string;
  readonly mount?: readonly string[];
  readonly memory?: string;
  readonly cpu?: string;
  readonly annotation?: readonly string[];
  readonly owner?: string;
  readonly compression: 'gzip' | 'none';
  readonly sign?: true;
}

export interface PatchFlags {
  readonly output: string;
  readonly manifest?: string;
  readonly name?: string;
  readonly label?: readonly string[];
  readonly annotation?: readonly string[];
  readonly exec?: readonly string[];
  readonly user?: string;
  readonly group?: string;
  readonly env?: readonly string[];
  readonly compression: 'gzip' | 'none';
  readonly sign?: true;
}

export interface FromOciFlags {
  readonly output: string;
  readonly name?: string;
  readonly platform?: string;
  readonly label?: readonly string[];
  readonly compression: 'gzip' | 'none';
  /** Prefix of the names of layer images. */
  readonly layers?: string;
  readonly maxUnpacked?: string;
  readonly credentials?: string;
  readonly plainHttp?: true;
  readonly sign?: true;
}

/** How images are found and fetched by name. */
export interface DiscoverFlags {
  readonly auth?: string;
  readonly ca?: string;
  readonly http?: true;
  /** Test rigs and split DNS: HOST:PORT:OTHER:PORT, as in curl. */
  readonly connectTo?: readonly string[];
}

export interface FetchFlags extends DiscoverFlags {
  readonly output: string;
  readonly key?: readonly string[];
}

export interface WaitFlags {
  readonly wait: boolean;
  /** Seconds. */
  readonly timeout: number;
}

/** Who signs; without any of these, the fleet's own key. */
export interface SigningFlags {
  readonly signingKey?: string;
  readonly gpg?: string;
  /** A file with a signature that was made elsewhere. */
  readonly signature?: string;
}

/** Signing without publishing: the file goes to the next person. */
export interface CommandSigningFlags extends SigningFlags {
  readonly signOnly?: true;
  readonly output?: string;
}

export interface CountersignFlags extends WaitFlags, SigningFlags {
  /** NAME=@FILE */
  readonly secret?: readonly string[];
  readonly publish: boolean;
}

export interface RootFlags {
  readonly rootKey?: readonly string[];
  readonly rootThreshold?: number;
  readonly deployKey?: readonly string[];
  readonly deployThreshold?: number;
  /** With `prefix=` for images below a name. */
  readonly imagesKey?: readonly string[];
  readonly imagesThreshold?: readonly string[];
  readonly validDays: number;
  readonly atVersion?: number;
  readonly drop?: readonly string[];
}

/** What to run. */
export interface ContentFlags extends DiscoverFlags, ActivationFlags {
  readonly key?: readonly string[];
  readonly pod?: readonly string[];
  readonly run?: readonly string[];
  readonly image?: readonly string[];
  readonly stopAll?: true;
  readonly withdraw?: true;
  readonly baseUrl?: string;
  readonly memory?: string;
  readonly cpu?: string;
  readonly tasks?: string;
  readonly volume?: readonly string[];
  readonly network?: string;
  /** NAME=@FILE */
  readonly secret?: readonly string[];
  readonly brokerLoss?: 'roll-back' | 'ignore';
  readonly probation?: number;
  readonly bestEffort?: true;
  readonly dryRun?: true;
}

export interface DeployFlags extends WaitFlags, ContentFlags, CommandSigningFlags {
  /** Whose devices are commanded, in place of devices by name. */
  readonly group?: string;
  /** Which part of the group. */
  readonly share?: string;
  readonly salt?: string;
}

/** Which devices are shown. */
export interface DeviceFilterFlags {
  readonly link?: string;
  readonly version?: number;
  readonly phase?: string;
  readonly health?: string;
  readonly code?: string;
  readonly prefix?: string;
  readonly group?: string;
  /** NAME=VALUE */
  readonly label?: readonly string[];
}

export interface FleetLogFlags extends CommandSigningFlags {
  /** How long ago the first line was written, in seconds. */
  readonly since?: number;
  readonly lines?: number;
  readonly follow?: true;
  /** Seconds. */
  readonly for: number;
  /** Bytes. */
  readonly limit: number;
}

/** Of a device that is being enrolled. */
export interface FleetEnrolFlags {
  readonly output?: string;
  readonly root?: string;
  /** False with --no-key. */
  readonly key: boolean;
  readonly group?: readonly string[];
  /** NAME=VALUE */
  readonly label?: readonly string[];
  readonly cert?: string;
  readonly keyFile?: string;
  readonly caCert?: string;
  readonly caKey?: string;
  readonly days: number;
  readonly password?: string;
}

/** Of a certificate that is renewed. */
export interface FleetRenewFlags {
  readonly output: string;
  /** The present one; absent: the one of the fleet directory. */
  readonly cert?: string;
  readonly caCert: string;
  readonly caKey: string;
  readonly days: number;
}

export interface SimFlags {
  readonly prefix: string;
  readonly group?: string;
  readonly broker?: readonly string[];
  readonly fault?: readonly string[];
  readonly badImage?: string;
  /** Seconds. */
  readonly herd?: number;
  readonly phase: number;
  readonly startsPerSecond: number;
  readonly seed: string;
  readonly for?: number;
}

/** Where rollouts are kept. */
export interface DatabaseFlags {
  readonly database?: string;
}

export interface RolloutStartFlags extends DatabaseFlags, ContentFlags, SigningFlags {
  readonly id?: string;
  readonly all?: true;
  readonly devicesFrom?: string;
  readonly stage?: readonly string[];
  /** Seconds. */
  readonly soak: number;
  /** Percent. */
  readonly success: number;
  readonly errors: number;
  /** Seconds. */
  readonly answerWithin?: number;
  readonly approve?: true;
  readonly undo: boolean;
  readonly wait: boolean;
  readonly signOnly?: true;
}

export interface RolloutSignFlags extends DatabaseFlags, SigningFlags {
  /** NAME=@FILE */
  readonly secret?: readonly string[];
  readonly dryRun?: true;
}

export interface RolloutChangeFlags extends DatabaseFlags {
  readonly reason?: string;
  readonly errors?: number;
  readonly success?: number;
  readonly wait: boolean;
}

export interface LogFlags {
  readonly follow?: true;
  readonly lines?: number;
  readonly since?: string;
  readonly ssh?: string;
}

export interface ExecFlags {
  readonly interactive?: true;
  /** Absent: true when standard input and output are terminals. */
  readonly tty?: boolean;
}

export interface DevFlags {
  readonly host: string;
  readonly brokerPort: number;
  readonly imagePort: number;
}

export interface GlobalOptions {
  readonly fleet?: string;
  readonly json?: boolean;
}

export interface RenderFlags {
  readonly with?: readonly string[];
  readonly output: string;
  readonly compression: 'gzip' | 'none';
  readonly sign?: true;
}

/** Commands that look into the store of a device. */
export interface StoreFlags {
  readonly onDevice?: true;
  readonly store?: string;
}

export interface GcFlags {
  readonly dryRun?: true;
  readonly store?: string;
}

export interface ImageSignFlags {
  readonly key?: string;
  /** Keeps the signatures of other keys. */
  readonly add?: true;
}

export interface VerifyFlags extends StoreFlags {
  readonly key?: readonly string[];
}

export interface PodValidateFlags {
  readonly image?: readonly string[];
  readonly name?: string;
  readonly bestEffort?: true;
}

export interface TopFlags {
  readonly watch?: true;
  /** Seconds between two samples. */
  readonly interval: number;
}

export interface VolumeFlags {
  readonly store?: string;
}
