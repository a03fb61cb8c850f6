import { renderImage } from '../../../operator/build/index.ts';
import { imageFiles, readImageFile } from '../../../operator/fleet/index.ts';
import type { Context } from '../../context.ts';
import type { RenderFlags } from '../../flags.ts';
import { tellBuilt } from './image-build.ts';

/** `wherry image render` */
export async function imageRender(context: Context, file: string, flags: RenderFlags): Promise<void> {
  const image = await readImageFile(file);
  const among = [];
  for (const dependency of flags.with ?? []) {
    for (const path of await imageFiles(dependency)) among.push(await readImageFile(path));
  }
  const { output, compression } = flags;
  const built = await renderImage({ image, among, output, compression });
  await tellBuilt(context, flags, built, { name: image.manifest.name });
}
