import type { AcIdentifier, AcName, ImageId } from '../../src/image/appc/index.ts';
import type { DesiredImage, DesiredState } from '../../src/wire/trust/index.ts';
import { imageIdOf } from '../device/deploy/ids.ts';

/** A desired state that runs nothing, with these changes. */
export function desiredStateOf(changes: Partial<DesiredState>): DesiredState {
  return {
    format: 1,
    fleet: 'fleet' as AcName,
    target: { device: 'device' as AcName },
    version: 1,
    issued: 1,
    expires: 2,
    pods: [],
    images: [],
    policy: { probationSeconds: 1, reconnectWindowSeconds: 1, limits: 'require' },
    ...changes,
  };
}

/** The entry of a desired state for an image that no server has. */
export function desiredImageOf(id: ImageId, name: string): DesiredImage {
  return { id, name: name as AcIdentifier, labels: [], sizeBytes: 10, tarSizeBytes: 20, urls: [] };
}

/** One pod `web` with this content as its manifest, of one image that is named after it. */
export function desiredState(version: number, content: string): DesiredState {
  return desiredStateOf({
    version,
    pods: [{ name: 'web' as AcName, manifest: new TextEncoder().encode(content) }],
    images: [desiredImageOf(imageIdOf(content), 'example.com/web')],
  });
}
