import { labelValue, parseImageManifest } from '../../image/appc/index.ts';
import type { StoredImage, StoredTree } from '../store/index.ts';
import type { DeviceState } from './state.ts';

/** An image or a rendered tree in the store of a device, and its users. */
export interface ImageUse {
  readonly id: string;
  /** Absent for an object that is not in the state: nothing needs it. */
  readonly image?: StoredImage | StoredTree;
  /** Length of the object; absent when there is none. */
  readonly sizeBytes?: number;
  /** Deployments that need it. */
  readonly deployments: readonly DeploymentUse[];
  /** Names of the running pods that use it. */
  readonly pods: readonly string[];
  /** `now`, or seconds since 1970 by the device's clock; absent when unknown. */
  readonly lastUse?: 'now' | number;
}

export interface DeploymentUse {
  readonly which: 'current' | 'previous' | 'pending';
  readonly version: number;
}

/**
 * The objects of the store and their users, sorted by name. Collected images that only the state
 * still lists are left out.
 *
 * @param objects length of each stored object, by its ID
 * @param mountOf name of an image's mount unit
 * @param isActive whether a unit runs
 */
export function imageUses(
  state: DeviceState,
  objects: ReadonlyMap<string, number>,
  mountOf: (id: string) => string,
  isActive: (unit: string) => boolean,
): readonly ImageUse[] {
  const deployments = [
    {
      which: 'current' as const,
      version: state.current?.version ?? 0,
      ids: [...(state.current?.imageIds ?? []), ...(state.current?.treeIds ?? [])],
    },
    {
      which: 'previous' as const,
      version: state.previous?.version ?? 0,
      ids: [...(state.previous?.imageIds ?? []), ...(state.previous?.treeIds ?? [])],
    },
    {
      which: 'pending' as const,
      version: state.pending?.desired.version ?? 0,
      ids: state.pending?.desired.images.map(({ id }) => id) ?? [],
    },
  ];
  // One pod may be in both: unchanged pods are carried over.
  const pods = [...(state.current?.pods ?? []), ...(state.previous?.pods ?? [])].filter(
    (pod, index, all) => all.findIndex(({ uuid }) => uuid === pod.uuid) === index,
  );
  const known = [...state.images, ...(state.trees ?? [])];
  const ids = new Set([...known.map(({ id }) => id), ...objects.keys()]);
  const uses = [...ids].map((id): ImageUse => {
    const image = known.find((candidate) => candidate.id === id);
    const sizeBytes = objects.get(id);
    const users = deployments.filter((deployment) => deployment.ids.some((needed) => needed === id));
    const running = pods.filter(
      (pod) => pod.mounts.includes(mountOf(id)) && pod.services.some(({ unit }) => isActive(unit)),
    );
    const inUse = running.length > 0 || users.some(({ which }) => which === 'current');
    const lastUse = inUse ? 'now' : image !== undefined && 'lastUse' in image ? image.lastUse : undefined;
    return {
      id,
      ...(image === undefined ? {} : { image }),
      ...(sizeBytes === undefined ? {} : { sizeBytes }),
      deployments: users.map(({ which, version: number }) => ({ which, version: number })),
      pods: running.map(({ name }) => name),
      ...(lastUse === undefined ? {} : { lastUse }),
    };
  });
  const key = ({ image, id }: ImageUse): string => `${image?.name ?? '~'} ${id}`;
  return uses
    .filter(({ sizeBytes, deployments: users }) => sizeBytes !== undefined || users.length > 0)
    .sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

/** The label `version` of an image's manifest; a rendered tree has no manifest. */
export function versionOf(image: StoredImage | StoredTree): string | undefined {
  if (!('manifest' in image)) return undefined;
  return labelValue(parseImageManifest(image.manifest).labels, 'version');
}
