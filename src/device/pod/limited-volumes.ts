import { unitText } from '../systemd/index.ts';
import type { HostFacts, LimitedVolume } from './compiled-pod.ts';
import type { PodPlaces } from './places.ts';
import type { VolumeKind } from './volume-kinds.ts';
import type { MountingApp } from './volume-places.ts';

/** The kept volumes with a limit that the apps mount. */
export function limitedVolumes(
  apps: readonly MountingApp[],
  places: PodPlaces,
  kinds: ReadonlyMap<string, VolumeKind>,
): readonly LimitedVolume[] {
  const found = new Map<string, LimitedVolume>();
  for (const { volume } of apps.flatMap(({ mounts }) => mounts)) {
    if (volume.kind !== 'empty') continue;
    const { name, mode, uid, gid } = volume;
    const kind = kinds.get(name);
    if (kind?.kind !== 'kept' || kind.limitBytes === undefined) continue;
    found.set(name, { ...places.limitedVolume(name), name, limitBytes: kind.limitBytes, mode, uid, gid });
  }
  return [...found.values()];
}

/**
 * The mount unit of a kept volume with a limit. Its text is the same for every version of the pod,
 * because only the file has the size.
 */
export function volumeMountUnit(
  podName: string,
  { name, file, where, unit }: LimitedVolume,
  host: { readonly directories: Pick<HostFacts['directories'], 'volumes'> },
): { name: string; text: string } {
  return {
    name: unit,
    text: unitText({
      Unit: {
        Description: `Volume ${name} of pod ${podName}`,
        // As for mounts of images.
        DefaultDependencies: false,
        Conflicts: ['umount.target'],
        Before: ['umount.target'],
        // It creates /dev/loop-control, whose first use loads the driver.
        After: ['systemd-tmpfiles-setup-dev.service'],
        RequiresMountsFor: [host.directories.volumes],
      },
      // A damaged file system becomes read-only, so that the damage does not grow. Access times
      // would cause writes by an app that only reads.
      Mount: {
        What: file,
        Where: where,
        Type: 'ext4',
        Options: 'loop,nodev,nosuid,noatime,errors=remount-ro',
      },
    }),
  };
}
