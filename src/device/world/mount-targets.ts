import { stat } from 'node:fs/promises';
import type { App, PodApp, PodManifest } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { resolveMounts } from '../pod/index.ts';
import { findInImage } from './image-tree.ts';

/**
 * Refuses a volume whose target in the image is of another kind: the kernel mounts only directories
 * on directories and files on files. The app would not start.
 *
 * @param roots root directories of the mounted image, the uppermost layer first
 * @throws Refusal `pod-volume-invalid`
 */
export async function checkMountTargets(
  roots: readonly string[],
  podApp: PodApp,
  app: App,
  manifest: PodManifest,
): Promise<void> {
  for (const { volume, target } of resolveMounts(podApp, app, manifest)) {
    const found = await findInImage(roots, target);
    if (found === undefined) continue;
    const source = volume.kind === 'host' ? await stat(volume.source).catch(() => undefined) : undefined;
    // A missing source is refused elsewhere.
    if (volume.kind === 'host' && source === undefined) continue;
    const directory = source?.isDirectory() ?? true;
    if (found.status.isDirectory() === directory) continue;
    const [is, has] = directory ? ['a directory', 'something else'] : ['not a directory', 'a directory'];
    throw new Refusal(
      'pod-volume-invalid',
      `app ${podApp.name}: the volume ${volume.name} is ${is} and the image has ${has} at ${target}; mount the volume elsewhere`,
    );
  }
}
