import { Refusal } from '../../core/refusal/index.ts';
import { escapeUnitName, escapeUnitPath, unitNameMaxBytes } from '../systemd/index.ts';
import type { HostFacts, LimitedVolumePlaces } from './compiled-pod.ts';

/** Name of the program of its network unit below the pod's directory. */
export const attachScriptPath = 'attach-network';

/**
 * Names and paths of one pod. All of its files are at these paths, and no file of another pod is.
 */
export interface PodPlaces {
  readonly slice: string;
  /** The unit that holds the namespaces of a pod with several apps. */
  readonly holderUnit: string;
  readonly holderId: string;
  /** The unit that attaches the pod to its network. */
  readonly networkUnit: string;
  /** The socket of the pod's metadata, and the unit that forwards its connections. */
  readonly metadataSocket: string;
  readonly metadataProxy: string;
  /** The network namespace of an attached pod, at a path that ip-netns(8) knows. */
  readonly netns: string;
  /** `revision` stands for the values of its secrets; absent for an app without secrets. */
  service(app: string, revision?: string): string;
  /** The unit of the sockets of an app, by the unit of the app. */
  socketUnit(service: string): string;
  /** The timer of a scheduled pod, and the unit that it starts; `revision` as for `service`. */
  schedule(revision?: string): { readonly timer: string; readonly run: string };
  /** The unit that delivers the values of an app's secrets; `revision` stands for them. */
  secretsUnit(app: string, revision: string): string;
  /** The directory of values that are delivered to an app, in memory. */
  secrets(app: string): string;
  /** The unit that runs the program of an app's probe once. */
  probeUnit(app: string): string;
  /** crun's name for the container of an app, or of one of its event handlers. */
  containerId(app: string, handler?: string): string;
  /** Directory of a bundle, below `<pods>/<uuid>/`. */
  bundle(app: string, handler?: string): string;
  /** The process of an app's probe for `crun exec`, below `<pods>/<uuid>/`. */
  probeProcess(app: string): string;
  /** Directory of an empty volume, below `<pods>/<uuid>/`. */
  volume(name: string): string;
  /** Directory of a volume that outlives the pod, below `<volumes>/`. */
  keptVolume(name: string): string;
  /** The same as an absolute path. */
  keptVolumePath(name: string): string;
  /** A kept volume with a limit: its file below `<volumes>/`, and its mount point. */
  limitedVolume(name: string): LimitedVolumePlaces;
  /** `relative`, a path below the pod's directory, as an absolute path. */
  absolute(relative: string): string;
  /**
   * The runtime directory of a container: its PID file, crun's state, and `layer` with the writable
   * layer. systemd creates and removes it.
   */
  runtime(containerId: string): string;
  /** The namespaces of the holder: a link to its /proc/<pid>/ns. */
  readonly namespaces: string;
}

/** The suffix of the file of a kept volume with a limit: `<volume>.ext4`. */
export const limitedVolumeSuffix = '.ext4';

/** Names of pod `name` with `uuid`; the caller has checked both. */
export function podPlaces(name: string, uuid: string, host: HostFacts): PodPlaces {
  const { pods, run, volumes } = host.directories;
  const part = `${escapeUnitName(name)}.${uuid.slice(0, 8)}`;
  const containerId = (app: string, handler?: string) =>
    `${uuid}-${app}${handler === undefined ? '' : `.${handler}`}`;
  const absolute = (relative: string) => `${pods}/${uuid}/${relative}`;
  return {
    slice: shortEnough(`wherry-pod-${part}.slice`),
    holderUnit: shortEnough(`wherry-holder-${part}.service`),
    holderId: uuid,
    networkUnit: shortEnough(`wherry-network-${part}.service`),
    metadataSocket: shortEnough(`wherry-metadata-${part}.socket`),
    metadataProxy: shortEnough(`wherry-metadata-proxy@${part}.service`),
    netns: `/run/netns/wherry-${name}.${uuid.slice(0, 8)}`,
    // An AC Name has no dot, so the name of an app cannot equal that of another app with a
    // revision.
    service: (app, revision) =>
      shortEnough(`wherry-pod-${part}-${app}${revision === undefined ? '' : `.${revision}`}.service`),
    socketUnit: (service) =>
      shortEnough(service.replace(/^wherry-pod-(.*)\.service$/, 'wherry-socket-$1.socket')),
    schedule: (revision) => {
      const whole = revision === undefined ? part : `${part}.${revision}`;
      return {
        timer: shortEnough(`wherry-timer-${whole}.timer`),
        run: shortEnough(`wherry-run-${whole}.target`),
      };
    },
    secretsUnit: (app, revision) => shortEnough(`wherry-secrets-${part}-${app}.${revision}.service`),
    secrets: (app) => `${run}/secrets/${uuid}/${app}`,
    probeUnit: (app) => shortEnough(`wherry-probe-${part}-${app}.service`),
    containerId,
    // An AC Name has no dot, so the name of an app cannot equal that of a handler's bundle.
    bundle: (app, handler) => `apps/${app}${handler === undefined ? '' : `.${handler}`}`,
    probeProcess: (app) => `apps/${app}.probe/process.json`,
    volume: (volume) => `volumes/${volume}`,
    keptVolume: (volume) => `${name}/${volume}`,
    keptVolumePath: (volume) => `${volumes}/${name}/${volume}`,
    limitedVolume: (volume) => {
      const where = `${run}/volumes/${name}/${volume}`;
      return {
        // An AC Name has no dot, so the directory of a volume without a limit cannot have this
        // name.
        file: `${volumes}/${name}/${volume}${limitedVolumeSuffix}`,
        where,
        unit: shortEnough(`${escapeUnitPath(where)}.mount`),
      };
    },
    absolute,
    runtime: (id) => `${run}/apps/${id}`,
    namespaces: `${run}/apps/${uuid}/ns`,
  };
}

/** The mount point of the object of an image or a rendered tree, and its mount unit. */
export function imageMount(
  objectId: string,
  host: { readonly directories: Pick<HostFacts['directories'], 'images' | 'run'> },
): { where: string; unit: string; object: string } {
  const where = `${host.directories.run}/images/${objectId}`;
  return {
    where,
    unit: `${escapeUnitPath(where)}.mount`,
    object: `${host.directories.images}/${objectId}.erofs`,
  };
}

/** The memory of delivered values, which all pods share, and its mount unit. */
export function secretsMount(host: { readonly directories: Pick<HostFacts['directories'], 'run'> }): {
  where: string;
  unit: string;
} {
  const where = `${host.directories.run}/secrets`;
  return { where, unit: `${escapeUnitPath(where)}.mount` };
}

function shortEnough(unit: string): string {
  if (unit.length > unitNameMaxBytes) {
    throw new Refusal(
      'pod-manifest-invalid',
      `the names of the pod and the app are too long: ${unit.length} characters of at most ${unitNameMaxBytes} in ${unit}`,
    );
  }
  return unit;
}
