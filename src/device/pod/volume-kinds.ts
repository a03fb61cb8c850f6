import { isAcName, labelValue, parseQuantity, type PodManifest, wholeUnits } from '../../image/appc/index.ts';
import { isRefusal, Refusal } from '../../core/refusal/index.ts';

/** The kind of an empty volume that annotations of the pod extend beyond the specification. */
export type VolumeKind =
  /**
   * Belongs to the name of the pod and outlives its manifest: a directory, or with a limit a file
   * system in a file of that size.
   */
  | { readonly kind: 'kept'; readonly limitBytes?: bigint }
  /** Memory of the one app that mounts it. */
  | { readonly kind: 'memory'; readonly bytes: bigint };

const keptVolumes = 'wherry/kept-volumes';
export const memoryVolumes = 'wherry/memory-volumes';

/** Sizes from `min` up, and the range as text for refusals. */
interface Sizes {
  readonly min: bigint;
  readonly text: string;
}
const memorySizes: Sizes = { min: 1n << 12n, text: '4Ki to 1Ti' };
/** A smaller ext4 has no room for a journal, which a power cut needs (mke2fs(8), -J). */
const limitSizes: Sizes = { min: 8n << 20n, text: '8Mi to 1Ti' };
const maxBytes = 1n << 40n;
/** The block size of ext4 that every kernel supports. */
const blockBytes = 1n << 12n;

/**
 * The kinds of empty volumes, by the annotations of the pod.
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
    const { name, size } = nameAndSize(word);
    const limitBytes = size === undefined ? undefined : sizeOf(size, limitSizes);
    if (!isAcName(name) || (size !== undefined && limitBytes === undefined)) {
      const expected = `names of volumes, with or without a limit from ${limitSizes.text}, such as "data=64Mi,logs"`;
      throw unreadable(keptVolumes, expected, word);
    }
    add(keptVolumes, name, {
      kind: 'kept',
      ...(limitBytes === undefined ? {} : { limitBytes: limitBytes - (limitBytes % blockBytes) }),
    });
  }
  for (const word of words(manifest, memoryVolumes)) {
    const { name, size = '' } = nameAndSize(word);
    const bytes = sizeOf(size, memorySizes);
    if (!isAcName(name) || bytes === undefined) {
      const expected = `volumes with sizes from ${memorySizes.text}, such as "cache=16Mi"`;
      throw unreadable(memoryVolumes, expected, word);
    }
    add(memoryVolumes, name, { kind: 'memory', bytes });
  }
  return kinds;
}

function words({ annotations }: PodManifest, annotation: string): readonly string[] {
  const text = labelValue(annotations, annotation);
  return text === undefined ? [] : text.split(',').map((word) => word.trim());
}

function nameAndSize(word: string): { readonly name: string; readonly size?: string } {
  const at = word.indexOf('=');
  return at < 0 ? { name: word } : { name: word.slice(0, at), size: word.slice(at + 1) };
}

function sizeOf(text: string, { min }: Sizes): bigint | undefined {
  try {
    const bytes = wholeUnits(parseQuantity(text));
    return bytes >= min && bytes <= maxBytes ? bytes : undefined;
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
