import type { AcIdentifier, AcName } from '../../src/image/appc/index.ts';
import type { DesiredState } from '../../src/wire/trust/index.ts';
import { imageIdOf } from '../device/deploy/ids.ts';

/** One pod `web` with this content as its manifest, of one image that is named after it. */
export function desiredState(version: number, content: string): DesiredState {
  return {
    format: 1,
    fleet: 'fleet' as AcName,
    target: { device: 'device' as AcName },
    version,
    issued: 1,
    expires: 2,
    pods: [{ name: 'web' as AcName, manifest: new TextEncoder().encode(content) }],
    images: [
      {
        id: imageIdOf(content),
        name: 'example.com/web' as AcIdentifier,
        labels: [],
        sizeBytes: 10,
        tarSizeBytes: 20,
        urls: [],
      },
    ],
    policy: { probationSeconds: 1, reconnectWindowSeconds: 1, limits: 'require' },
  };
}
