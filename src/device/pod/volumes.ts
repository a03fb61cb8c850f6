import {
  type App,
  isOfRuntime,
  isWithin,
  type PodApp,
  type PodManifest,
  type Volume,
} from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { PodInput } from './compiled-pod.ts';
import type { UsedDisks } from './limits.ts';

/** A volume at its place in an app. */
export interface ResolvedMount {
  readonly volume: Volume;
  /** Absolute, without `.`, `..` or doubled slashes. */
  readonly target: string;
  readonly readOnly: boolean;
}

/**
 * The mounts of an app: each mount of the pod manifest, and for each other mount point of the app
 * the volume of the same name (pods.md, ace.md#volume-setup). A mount point may make a volume
 * read-only, never writable.
 * @throws Refusal pod-volume-invalid when a mount or a mount point has no volume, or targets
 *   overlap
 */
export function resolveMounts(podApp: PodApp, app: App, manifest: PodManifest): readonly ResolvedMount[] {
  const refuse = (why: string) => new Refusal('pod-volume-invalid', `app ${podApp.name}: ${why}`);
  const volumes = new Map<string, Volume>(manifest.volumes.map((volume) => [volume.name, volume]));
  const normal = (path: string) => {
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    const target = `/${parts.join('/')}`;
    if (!path.startsWith('/') || parts.includes('..') || parts.length === 0 || path.includes('\0')) {
      throw refuse(`${JSON.stringify(path)} is not a place for a mount`);
    }
    if (isOfRuntime(target)) {
      throw refuse(`${target} belongs to the runtime; mount the volume elsewhere`);
    }
    return target;
  };
  const points = app.mountPoints.map((point) => ({ ...point, target: normal(point.path) }));
  const mounts = podApp.mounts.map((mount): ResolvedMount => {
    const volume = mount.appVolume ?? volumes.get(mount.volume);
    if (volume === undefined) throw refuse(`the pod has no volume ${mount.volume} for ${mount.path}`);
    const target = normal(mount.path);
    const readOnly = points.some((point) => point.target === target && point.readOnly);
    return { volume, target, readOnly: volume.readOnly || readOnly };
  });
  const given = new Set(mounts.map(({ target }) => target));
  for (const point of points) {
    if (given.has(point.target)) continue;
    const volume = volumes.get(point.name);
    if (volume === undefined)
      throw refuse(`nothing is mounted at its mount point ${point.name}, ${point.target}`);
    mounts.push({ volume, target: point.target, readOnly: volume.readOnly || point.readOnly });
  }
  for (const [index, { target }] of mounts.entries()) {
    const other = mounts.find((mount, at) => at !== index && isWithin(target, mount.target));
    if (other !== undefined) throw refuse(`the mounts at ${other.target} and ${target} overlap`);
  }
  return mounts;
}

/** The sources of the host volumes of a pod. */
export function hostSources({ apps, volumes }: PodManifest): readonly string[] {
  const own = apps.flatMap(({ mounts }) => mounts.flatMap(({ appVolume }) => appVolume ?? []));
  return [...volumes, ...own].flatMap((volume) => (volume.kind === 'host' ? [volume.source] : []));
}

/** The disks of the directory of pods and of host volumes at `sources`. */
export function disksOf({ host, diskless, realSources }: PodInput, sources: readonly string[]): UsedDisks {
  const volumes = sources.map((source) => realSources?.get(source) ?? source);
  const paths = [...new Set([host.directories.pods, ...volumes])];
  const isLimited = (path: string) => diskless?.has(path) !== true;
  return { limited: paths.filter(isLimited), others: paths.filter((path) => !isLimited(path)) };
}

/** The paths that must be mounted for a volume: its source, and where the links in it lead. */
export function sourcesOf(volume: Volume, real?: ReadonlyMap<string, string>): readonly string[] {
  return volume.kind === 'host' ? [volume.source, real?.get(volume.source) ?? volume.source] : [];
}
