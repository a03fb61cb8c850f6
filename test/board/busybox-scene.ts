import { type BuiltImage, Scene } from './scene.ts';

/** The image's program. Apps of small tests run nothing else. */
export const busybox = '/usr/bin/busybox';

/** A scene with one image, whose app waits until it is stopped. */
export async function busyboxScene(
  boardName: string,
  options: Parameters<typeof Scene.start>[1] = {},
): Promise<{ readonly scene: Scene; readonly image: BuiltImage }> {
  const scene = await Scene.start(boardName, options);
  return { scene, image: await scene.image('busybox', [busybox, 'sleep', '1000000']) };
}
