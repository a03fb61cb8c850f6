import type { AccountFacts, ImageId, ImageManifest, PodManifest } from '../../image/appc/index.ts';
import type { IsolatorReport } from '../../wire/report/index.ts';
import type { DeclaredPorts, NetworkFacts } from '../network/index.ts';
import type { AllowList } from './allow-list.ts';
import type { JudgeLabel } from './labels.ts';
import type { ProbeAction, ProbeRules } from './probe.ts';

/** The facts of the host that the compiler needs, read by device/host. */
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
  /** Absent: the kernel has no security module. */
  readonly judgeLabel?: JudgeLabel;
  /** Names of system calls; absent when they are not needed, or nothing here knows them. */
  readonly systemCalls?: ReadonlySet<string>;
  /**
   * A static program for the first process of a pod with several apps, /usr/bin/catatonit; absent
   * when there is none.
   */
  readonly holderPath?: string;
  /** What pods may use; absent: everything. */
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
 * The facts of an image that the compiler needs: the manifest, and what decides user and group
 * (ace.md, aci.md#app user).
 */
export interface PodImage extends AccountFacts {
  readonly id: ImageId;
  readonly manifest: ImageManifest;
  /**
   * The objects of its root file system, the uppermost first: the image itself, then its
   * dependencies, or the one tree that was rendered from all of them.
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
  /** `AC_METADATA_URL` of its apps, at 127.0.0.1 in the pod's network; absent without metadata. */
  readonly metadataUrl?: string;
  /** Source of a host volume → the path to which its links lead. */
  readonly realSources?: ReadonlyMap<string, string>;
  /**
   * Those of these paths and of the directory of pods whose file system is on no block device;
   * absent: none is known to be.
   */
  readonly diskless?: ReadonlySet<string>;
}

/** A probe; a unit runs its program, if it has one. */
export interface CompiledProbe {
  readonly ask:
    | Exclude<ProbeAction, { kind: 'exec' }>
    | {
        readonly kind: 'exec';
        readonly unit: string;
        /** The directory of the unit's answer: the runtime directory of the app. */
        readonly directory: string;
      };
  readonly rules: ProbeRules;
}

/** The file of a kept volume with a limit, and its mount point. */
export interface LimitedVolumePlaces {
  readonly file: string;
  readonly where: string;
  /** The mount unit of `where`, which all versions of the pod share. */
  readonly unit: string;
}

/** A volume that outlives the pod, in a file system of its own. */
export interface LimitedVolume extends LimitedVolumePlaces {
  readonly name: string;
  /** The size of the file; ext4 uses a part of it. */
  readonly limitBytes: bigint;
  /** Mode and owner of the root directory of a new file system. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** A pod as files and units. None of them runs wherry. */
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
     * Only for an app that runs to its end: the seconds within which it must succeed, with all its
     * retries.
     */
    readonly onceSeconds?: number;
    /** How the health of the app is probed. */
    readonly probe?: CompiledProbe;
    /** Digests of the secrets that it uses; absent when it uses none. */
    readonly secrets?: readonly string[];
    /** The unit that delivers their values; absent when the unit of the app does. */
    readonly delivery?: string;
  }[];
  /**
   * Units that the services pull in: the mounts of image objects and of delivered secrets, which
   * pods may share, and of volumes with a limit, the holder of the namespaces of a pod with several
   * apps, the unit that attaches a pod to its network, its sockets, and the run of a scheduled pod.
   */
  readonly mounts: readonly string[];
  /** The timer of a scheduled pod; nothing else starts the pod. */
  readonly timer?: string;
  /** Its calendar expressions, which systemd has not checked yet. */
  readonly calendar?: readonly string[];
  /** Unit files for /etc/systemd/system, by name. */
  readonly units: readonly { readonly name: string; readonly text: string }[];
  /** Files below `<pods>/<uuid>/`, relative paths. */
  readonly files: readonly { readonly path: string; readonly content: string; readonly mode: number }[];
  /**
   * Directories below `<pods>/<uuid>/` that are created if missing and otherwise left alone: empty
   * volumes.
   */
  readonly directories: readonly {
    readonly path: string;
    readonly mode: number;
    readonly uid: number;
    readonly gid: number;
  }[];
  /**
   * Directories below `<volumes>/`, likewise: volumes that outlive the pod, `<pod>/<volume>`. Only
   * a command removes them.
   */
  readonly keptVolumes: CompiledPod['directories'];
  /** Kept volumes with a limit, which must be mounted before the pod is started. */
  readonly limitedVolumes: readonly LimitedVolume[];
  /**
   * Host paths that must exist before the pod is started (ace.md#volume-setup: a missing source
   * MUST be an error).
   */
  readonly sources: readonly { readonly app: string; readonly path: string; readonly readOnly: boolean }[];
  readonly isolators: readonly IsolatorReport[];
  /** Name of its network; absent when that is the host's. */
  readonly network?: string;
  /**
   * Ports of the host that it uses; `mapped` when rules forward them and its apps do not open them.
   */
  readonly ports: { readonly mapped: boolean; readonly ports: DeclaredPorts };
}
