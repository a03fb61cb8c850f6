/**
 * The values of the App Container specification 0.8.11 after parsing. A branded string can only
 * come from its parser, so code need not check it again.
 */

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/**
 * `^[a-z0-9]+([-._~/][a-z0-9]+)*$` (types.md#ac-identifier): names of images, labels, annotations,
 * isolators.
 */
export type AcIdentifier = Branded<'AcIdentifier'>;
/** `^[a-z0-9]+(-[a-z0-9]+)*$` (types.md#ac-name): names of apps, volumes, mount points, ports. */
export type AcName = Branded<'AcName'>;
/**
 * `sha512-` and 128 lower-case hex digits: the digest of the uncompressed tar (aci.md#image-id).
 */
export type ImageId = Branded<'ImageId'>;

export interface NameValue {
  readonly name: AcIdentifier;
  readonly value: string;
}

/** An isolator as written; its value is checked by the isolator table (ace.md#isolators). */
export interface Isolator {
  readonly name: AcIdentifier;
  readonly value: JsonValue;
}

/**
 * JSON as the strict parser returns it: integers past 2^53 are bigint, objects have no prototype.
 */
export type JsonValue =
  null | boolean | number | bigint | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/**
 * End users' own data: free keys, no prototype; nothing in wherry acts on it (aci.md, pods.md: MUST
 * NOT).
 */
export interface UserMap {
  readonly [key: string]: string;
}

export interface MountPoint {
  readonly name: AcName;
  readonly path: string;
  readonly readOnly: boolean;
}

export interface Port {
  readonly name: AcName;
  readonly protocol: string;
  /** 1..65535; the range is `port … port + count - 1`. */
  readonly port: number;
  readonly count: number;
  readonly socketActivated: boolean;
}

export interface EventHandler {
  readonly name: 'pre-start' | 'post-stop';
  readonly exec: readonly string[];
}

/** The `app` object of an image manifest, or its replacement in a pod manifest. */
export interface App {
  readonly exec: readonly string[];
  readonly user: string;
  readonly group: string;
  readonly supplementaryGids: readonly number[];
  readonly eventHandlers: readonly EventHandler[];
  readonly workingDirectory: string;
  readonly environment: readonly { readonly name: string; readonly value: string }[];
  readonly isolators: readonly Isolator[];
  readonly mountPoints: readonly MountPoint[];
  readonly ports: readonly Port[];
  readonly userAnnotations?: UserMap;
  readonly userLabels?: UserMap;
}

export interface Dependency {
  readonly imageName: AcIdentifier;
  readonly imageId?: ImageId;
  readonly labels: readonly NameValue[];
  readonly sizeBytes?: bigint;
}

export interface ImageManifest {
  readonly acVersion: string;
  readonly name: AcIdentifier;
  readonly labels: readonly NameValue[];
  readonly app?: App;
  readonly dependencies: readonly Dependency[];
  readonly pathWhitelist: readonly string[];
  readonly annotations: readonly NameValue[];
}

export type Volume =
  | {
      readonly kind: 'empty';
      readonly name: AcName;
      readonly readOnly: boolean;
      /** Octal permission bits as a number. */
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    }
  | {
      readonly kind: 'host';
      readonly name: AcName;
      readonly readOnly: boolean;
      readonly source: string;
      readonly recursive: boolean;
    };

export interface Mount {
  readonly volume: AcName;
  readonly path: string;
  /** Overrides the look-up of `volume` by name. */
  readonly appVolume?: Volume;
}

export interface PodApp {
  readonly name: AcName;
  readonly image: {
    readonly id: ImageId;
    readonly name?: AcIdentifier;
    readonly labels: readonly NameValue[];
  };
  /** Replaces the image's whole `app` object. */
  readonly app?: App;
  readonly readOnlyRootFs: boolean;
  readonly mounts: readonly Mount[];
  readonly annotations: readonly NameValue[];
}

export interface PodPort {
  readonly name: AcName;
  readonly hostPort: number;
  readonly hostIp?: string;
  readonly podPort?: Port;
}

/** A pod manifest in which every image is named by its ID (pods.md). */
export interface PodManifest {
  readonly acVersion: string;
  readonly apps: readonly PodApp[];
  readonly volumes: readonly Volume[];
  readonly isolators: readonly Isolator[];
  readonly annotations: readonly NameValue[];
  readonly ports: readonly PodPort[];
  readonly userAnnotations?: UserMap;
  readonly userLabels?: UserMap;
}
