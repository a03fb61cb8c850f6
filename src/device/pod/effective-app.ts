import { type App, labelValue, type PodApp } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { PodImage, PodInput } from './compiled-pod.ts';

/** @throws Refusal `pod-image-unlisted` */
export function imageOf(podApp: PodApp, { images }: PodInput): PodImage {
  const image = images.get(podApp.image.id);
  if (image !== undefined) return image;
  throw new Refusal('pod-image-unlisted', `app ${podApp.name} uses ${podApp.image.id}, which is not stored`);
}

/** The pod's `app` replaces the image's as a whole (pods.md). */
export function effectiveApp(podApp: PodApp, image: PodImage): App {
  const app = podApp.app ?? image.manifest.app;
  if (app === undefined || app.exec.length === 0) {
    throw new Refusal(
      'pod-app-missing',
      `app ${podApp.name}: neither the pod nor its image names a program to run`,
    );
  }
  return app;
}

/** Those of all apps of a pod. */
export function effectiveApps({ manifest, images }: PodInput): readonly App[] {
  return manifest.apps.flatMap((podApp) => {
    const image = images.get(podApp.image.id);
    return image === undefined ? [] : [effectiveApp(podApp, image)];
  });
}

/** Whether an image is for 32-bit ARM. */
export function isForArm32({ manifest: { labels } }: PodImage): boolean {
  // Without an `os`, an `arch` has no meaning (aci.md).
  return labelValue(labels, 'os') === 'linux' && /^armv[67]l$/.test(labelValue(labels, 'arch') ?? '');
}
