import { type BuiltImage, Scene } from './scene.ts';

/** The program of the image, which is all that apps of small tests run. */
export const busybox = '/usr/bin/busybox';

/** A scene with one image, whose app does nothing until it is stopped. */
export async function busyboxScene(
  boardName: string,
  options: Parameters<typeof Scene.start>[1] = {},
): Promise<{ readonly scene: Scene; readonly image: BuiltImage }> {
  const scene = await Scene.start(boardName, options);
  return { scene, image: await scene.image('busybox', [busybox, 'sleep', '1000000']) };
}
