import { Refusal } from '../../core/refusal/index.ts';
import type { MountSource } from './bundle.ts';
import type { CompiledPod } from './compiled-pod.ts';
import type { PodPlaces } from './places.ts';
import { memoryVolumes, type VolumeKind } from './volume-kinds.ts';
import type { ResolvedMount } from './volumes.ts';

export interface MountingApp {
  readonly name: string;
  readonly mounts: readonly ResolvedMount[];
}

/**
 * Directories of the empty volumes of all apps for which `pathOf` returns a path. Apps share them.
 *
 * @throws Refusal `pod-volume-invalid` for two volumes of one name, which only `appVolume` allows,
 *   with different owners or modes
 */
export function volumeDirectories(
  apps: readonly MountingApp[],
  pathOf: (name: string) => string | undefined,
): CompiledPod['directories'] {
  const directories = new Map<string, CompiledPod['directories'][number]>();
  for (const { volume } of apps.flatMap(({ mounts }) => mounts)) {
    if (volume.kind !== 'empty') continue;
    const path = pathOf(volume.name);
    if (path === undefined) continue;
    const { name, mode, uid, gid } = volume;
    const same = directories.get(path);
    if (same !== undefined && (same.mode !== mode || same.uid !== uid || same.gid !== gid)) {
      throw new Refusal(
        'pod-volume-invalid',
        `the volume ${name} has different modes or owners in the pod; its apps share one directory, so give it one, or two names`,
      );
    }
    directories.set(path, { path, mode, uid, gid });
  }
  return [...directories.values()];
}

/** The source of a mount. */
export function sourceOf(
  { volume }: ResolvedMount,
  places: PodPlaces,
  kinds: ReadonlyMap<string, VolumeKind>,
): MountSource {
  if (volume.kind === 'host') return { source: volume.source };
  const kind = kinds.get(volume.name);
  switch (kind?.kind) {
    case undefined:
      return { source: places.absolute(places.volume(volume.name)) };
    case 'kept':
      return {
        source:
          kind.limitBytes === undefined
            ? places.keptVolumePath(volume.name)
            : places.limitedVolume(volume.name).where,
      };
    case 'memory':
      return { memoryBytes: kind.bytes };
  }
}

/**
 * Refuses a memory volume of several apps: it is in the mount namespace of one app, so the others
 * would not see its content.
 *
 * @throws Refusal `pod-volume-invalid`
 */
export function refuseSharedMemory(
  apps: readonly MountingApp[],
  kinds: ReadonlyMap<string, VolumeKind>,
): void {
  for (const [name, { kind }] of kinds) {
    const users = apps.filter(({ mounts }) => mounts.some(({ volume }) => volume.name === name));
    if (kind !== 'memory' || users.length < 2) continue;
    throw new Refusal(
      'pod-volume-invalid',
      `annotation ${memoryVolumes}: ${name} is memory of one app, but ${users.map((app) => app.name).join(' and ')} mount it`,
    );
  }
}
