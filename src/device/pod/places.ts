import { Refusal } from '../../core/refusal/index.ts';
import { escapeUnitName, escapeUnitPath, unitNameMaxBytes } from '../systemd/index.ts';
import type { HostFacts, LimitedVolumePlaces } from './compiled-pod.ts';

/** Name of the program of its network unit below the pod's directory. */
export const attachScriptPath = 'attach-network';

/**
 * Names and paths of one pod. All of its files are in these places, and no file of another pod is.
 */
export interface PodPlaces {
  readonly slice: string;
  /** The unit that holds the namespaces of a pod with several apps. */
  readonly holderUnit: string;
  readonly holderId: string;
  /** The unit that attaches the pod to its network. */
  readonly networkUnit: string;
  /** The socket of the pod's metadata, and the unit that passes on what comes to it. */
  readonly metadataSocket: string;
  readonly metadataProxy: string;
  /** The network namespace of an attached pod, where ip-netns(8) finds it. */
  readonly netns: string;
  /** `revision` names the values of its secrets; absent for an app without. */
  service(app: string, revision?: string): string;
  /** The unit of the sockets of an app, by the unit of the app. */
  socketUnit(service: string): string;
  /** Of a scheduled pod its timer, and what that starts; `revision` as for `service`. */
  schedule(revision?: string): { readonly timer: string; readonly run: string };
  /** The unit that runs the program of an app's probe once. */
  probeUnit(app: string): string;
  /** crun's name for the container of an app, or of one of its event handlers. */
  containerId(app: string, handler?: string): string;
  /** Directory of a bundle, below `<pods>/<uuid>/`. */
  bundle(app: string, handler?: string): string;
  /** What the program of an app's probe is to `crun exec`, below `<pods>/<uuid>/`. */
  probeProcess(app: string): string;
  /** Directory of an empty volume, below `<pods>/<uuid>/`. */
  volume(name: string): string;
  /** Directory of a volume that outlives the pod, below `<volumes>/`. */
  keptVolume(name: string): string;
  /** The same as an absolute path. */
  keptVolumePath(name: string): string;
  /** A kept volume with a limit: its file below `<volumes>/`, and where that is mounted. */
  limitedVolume(name: string): LimitedVolumePlaces;
  /** `relative`, a path below the pod's directory, as an absolute path. */
  absolute(relative: string): string;
  /**
   * What a container has while it runs: its PID file, crun's state, `layer` with the writable
   * layer. systemd makes it and removes it.
   */
  runtime(containerId: string): string;
  /** Namespaces of the holder: a link to its /proc/<pid>/ns. */
  readonly namespaces: string;
}

/** How the file of a kept volume with a limit is called: `<volume>.ext4`. */
export const limitedVolumeSuffix = '.ext4';

/** Names of pod `name` with `uuid`; both are checked by the caller. */
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
    // A dot is in no AC Name, so no app can be called like another one with a revision.
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
    probeUnit: (app) => shortEnough(`wherry-probe-${part}-${app}.service`),
    containerId,
    // A dot is in no AC Name, so no app can be called like a bundle of a handler.
    bundle: (app, handler) => `apps/${app}${handler === undefined ? '' : `.${handler}`}`,
    probeProcess: (app) => `apps/${app}.probe/process.json`,
    volume: (volume) => `volumes/${volume}`,
    keptVolume: (volume) => `${name}/${volume}`,
    keptVolumePath: (volume) => `${volumes}/${name}/${volume}`,
    limitedVolume: (volume) => {
      const where = `${run}/volumes/${name}/${volume}`;
      return {
        // A dot is in no AC Name, so no volume without a limit can be called like it.
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

/**
 * Where the object of an image or of a rendered tree is mounted, and the mount unit of that place.
 */
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

function shortEnough(unit: string): string {
  if (unit.length > unitNameMaxBytes) {
    throw new Refusal(
      'pod-manifest-invalid',
      `the names of the pod and the app are too long: ${unit.length} characters of at most ${unitNameMaxBytes} in ${unit}`,
    );
  }
  return unit;
}
