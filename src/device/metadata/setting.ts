import { labelValue, type PodManifest } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';

const annotation = 'wherry/metadata';

/**
 * Whether a pod requests the metadata service, by the annotation `wherry/metadata` of its manifest.
 * @throws Refusal pod-manifest-invalid
 */
export function wantsMetadata(pod: string, manifest: PodManifest): boolean {
  const value = labelValue(manifest.annotations, annotation) ?? 'false';
  if (value === 'true' || value === 'false') return value === 'true';
  throw new Refusal(
    'pod-manifest-invalid',
    `pod ${pod}: annotation ${annotation}: expected "true" or "false", found ${JSON.stringify(value.slice(0, 80))}`,
  );
}
