import type { AccountFacts, ImageId, ImageManifest, PodManifest } from '../../image/appc/index.ts';
import type { IsolatorReport } from '../../wire/report/index.ts';
import type { DeclaredPorts, NetworkFacts } from '../network/index.ts';
import type { AllowList } from './allow-list.ts';
import type { ProbeAction, ProbeRules } from './probe.ts';

/** What the compiler must know of the host: values only, read by device/host. */
export interface HostFacts {
  /** cgroup v2 controllers that systemd may use, for example ['cpu', 'memory', 'pids', 'io']. */
  readonly controllers: readonly string[];
  readonly crunPath: string;
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly limits: 'require' | 'best-effort';
  /**
   * Node's process.arch; decides which system call tables a filter covers. Absent: those of
   * `arm64`.
   */
  readonly machine?: string;
  /** Loaded AppArmor profiles; absent when the kernel has no AppArmor. */
  readonly appArmorProfiles?: readonly string[];
  /**
   * A static program for the first process of a pod with several apps, /usr/bin/catatonit; absent
   * when there is none.
   */
  readonly holderPath?: string;
  /** What pods may have; absent: everything. */
  readonly allow?: AllowList;
  /** Networks of the device; absent: only its own, which every pod shares. */
  readonly network?: NetworkFacts;
  readonly directories: {
    /** Image objects, /var/lib/wherry/images */
    readonly images: string;
    /** Reified pods and bundles, /var/lib/wherry/pods */
    readonly pods: string;
    /** Volumes that outlive their pods, /var/lib/wherry/volumes */
    readonly volumes: string;
    /** Mount points, memory layers, PID files, /run/wherry */
    readonly run: string;
    /** Sealed values of secrets, /var/lib/wherry/secrets; absent where no app has any. */
    readonly secrets?: string;
  };
}

/**
 * An image as the compiler needs it: manifest, and what decides user and group (ace.md, aci.md#app
 * user).
 */
export interface PodImage extends AccountFacts {
  readonly id: ImageId;
  readonly manifest: ImageManifest;
  /**
   * The objects that make its root file system, the uppermost first: itself, then the images that
   * it depends on, or the one tree that was rendered of them.
   */
  readonly layers: readonly string[];
}

export interface PodInput {
  readonly name: string;
  readonly uuid: string;
  readonly manifest: PodManifest;
  readonly images: ReadonlyMap<string, PodImage>;
  readonly host: HostFacts;
  /** Name → digest of the secrets of the desired state; absent when it has none. */
  readonly secrets?: ReadonlyMap<string, string>;
  /**
   * `AC_METADATA_URL` of its apps, an address of 127.0.0.1 in the pod's network; absent without.
   */
  readonly metadataUrl?: string;
}

/** A probe, whose program a unit runs. */
export interface CompiledProbe {
  readonly ask:
    | Exclude<ProbeAction, { kind: 'exec' }>
    | {
        readonly kind: 'exec';
        readonly unit: string;
        /** Where the unit leaves its answer: the runtime directory of the app. */
        readonly directory: string;
      };
  readonly rules: ProbeRules;
}

/** Where a kept volume with a limit lies, and where it is mounted. */
export interface LimitedVolumePlaces {
  readonly file: string;
  readonly where: string;
  /** The mount unit of `where`. All pods of this name, which come one after the other, share it. */
  readonly unit: string;
}

/** A volume that outlives the pod, in a file system of its own. */
export interface LimitedVolume extends LimitedVolumePlaces {
  readonly name: string;
  /** The size of the file: ext4 takes a part of it for itself. */
  readonly limitBytes: bigint;
  /** Of the uppermost directory of a file system that is made. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** A pod as files and unit names; nothing in it runs wherry. */
export interface CompiledPod {
  readonly name: string;
  readonly uuid: string;
  /** `wherry-pod-<name>.<8 hex of uuid>.slice`, dashes of the name escaped */
  readonly slice: string;
  /** One per app, in start order. */
  readonly services: readonly {
    readonly app: string;
    readonly unit: string;
    readonly imageId: ImageId;
    /**
     * Of an app that runs to its end: the seconds after which it must have succeeded, with all its
     * tries.
     */
    readonly onceSeconds?: number;
    /** How the app is asked whether it is healthy. */
    readonly probe?: CompiledProbe;
    /** Digests of the secrets that it uses; absent when it uses none. */
    readonly secrets?: readonly string[];
  }[];
  /**
   * Units that the services need and start by themselves: the mounts of image objects, which pods
   * may share, and the holder of the namespaces of a pod with several apps, and the unit that
   * attaches a pod to its network, the socket of its metadata, and the run of a scheduled pod.
   */
  readonly mounts: readonly string[];
  /** Of a scheduled pod the unit that starts it; nothing else does. */
  readonly timer?: string;
  /** Its calendar expressions, which systemd has not judged yet. */
  readonly calendar?: readonly string[];
  /** Unit files for /etc/systemd/system, by name. */
  readonly units: readonly { readonly name: string; readonly text: string }[];
  /** Files below `<pods>/<uuid>/`, relative paths. */
  readonly files: readonly { readonly path: string; readonly content: string; readonly mode: number }[];
  /**
   * Directories below `<pods>/<uuid>/` to be made when they are missing and left as they are when
   * not: empty volumes.
   */
  readonly directories: readonly {
    readonly path: string;
    readonly mode: number;
    readonly uid: number;
    readonly gid: number;
  }[];
  /**
   * Directories below `<volumes>/`, likewise: volumes that outlive the pod, `<pod>/<volume>`. They
   * are removed by command only.
   */
  readonly keptVolumes: CompiledPod['directories'];
  /** Kept volumes with a limit, which must be mounted before the pod is started. */
  readonly limitedVolumes: readonly LimitedVolume[];
  /**
   * Host paths that must be there before the pod is started (ace.md#volume-setup: a missing source
   * MUST be an error).
   */
  readonly sources: readonly { readonly app: string; readonly path: string; readonly readOnly: boolean }[];
  readonly isolators: readonly IsolatorReport[];
  /** Name of its network; absent when that is the host's. */
  readonly network?: string;
  /** Ports of the host that it uses; `mapped` when they lead to it by rules and not by sockets. */
  readonly ports: { readonly mapped: boolean; readonly ports: DeclaredPorts };
}
