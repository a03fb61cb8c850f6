import { isAcName, labelValue, parseQuantity, type PodManifest, wholeUnits } from '../../image/appc/index.ts';
import { isRefusal, Refusal } from '../../core/refusal/index.ts';

/** What an empty volume is, where annotations of the pod say more than the specification. */
export type VolumeKind =
  /** A directory that belongs to the name of the pod and outlives its manifest. */
  | { readonly kind: 'kept' }
  /** Memory of the one app that mounts it. */
  | { readonly kind: 'memory'; readonly bytes: bigint };

export const keptVolumes = 'wherry/kept-volumes';
export const memoryVolumes = 'wherry/memory-volumes';

const minBytes = 1n << 12n;
const maxBytes = 1n << 40n;

/**
 * The kinds of the empty volumes that annotations of the pod name.
 *
 * @throws Refusal `pod-manifest-invalid` for an annotation that cannot be read,
 *   `pod-volume-invalid` for a name that is not one of an empty volume of the pod, or is in both
 */
export function volumeKinds(manifest: PodManifest): ReadonlyMap<string, VolumeKind> {
  const appVolumes = manifest.apps.flatMap(({ mounts }) =>
    mounts.flatMap(({ appVolume }) => appVolume ?? []),
  );
  const empty = new Set<string>(
    [...manifest.volumes, ...appVolumes].filter(({ kind }) => kind === 'empty').map(({ name }) => name),
  );
  const kinds = new Map<string, VolumeKind>();
  const add = (annotation: string, name: string, kind: VolumeKind) => {
    const refuse = (why: string) =>
      new Refusal('pod-volume-invalid', `annotation ${annotation}: ${name} ${why}`);
    if (!empty.has(name)) throw refuse('is not a volume of kind empty of the pod');
    if (kinds.has(name)) throw refuse('is named twice');
    kinds.set(name, kind);
  };
  for (const word of words(manifest, keptVolumes)) {
    if (!isAcName(word)) throw unreadable(keptVolumes, 'names of volumes, such as "data,logs"', word);
    add(keptVolumes, word, { kind: 'kept' });
  }
  for (const word of words(manifest, memoryVolumes)) {
    const [, name = '', size = ''] = /^([^=]*)=(.*)$/.exec(word) ?? [];
    const bytes = sizeOf(size);
    if (!isAcName(name) || bytes === undefined) {
      throw unreadable(memoryVolumes, 'volumes with sizes from 4Ki to 1Ti, such as "cache=16Mi"', word);
    }
    add(memoryVolumes, name, { kind: 'memory', bytes });
  }
  return kinds;
}

function words({ annotations }: PodManifest, annotation: string): readonly string[] {
  const text = labelValue(annotations, annotation);
  return text === undefined ? [] : text.split(',').map((word) => word.trim());
}

function sizeOf(text: string): bigint | undefined {
  try {
    const bytes = wholeUnits(parseQuantity(text));
    return bytes >= minBytes && bytes <= maxBytes ? bytes : undefined;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return undefined;
  }
}

function unreadable(annotation: string, expected: string, found: string): Refusal {
  return new Refusal(
    'pod-manifest-invalid',
    `annotation ${annotation}: expected ${expected}, found ${JSON.stringify(found.slice(0, 80))}`,
  );
}
