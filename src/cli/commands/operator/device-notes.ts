import { appSettings } from '../../../device/pod/index.ts';
import { type ImageManifest, mountProblem } from '../../../image/appc/index.ts';
import { isRefusal } from '../../../core/refusal/index.ts';

/**
 * Notes about an image whose app devices refuse. Notes rather than refusals: a pod may replace the
 * app, and its annotations replace those of the image.
 */
export function deviceNotes({ app, annotations }: ImageManifest): readonly string[] {
  if (app === undefined) return [];
  const mounts = mountProblem(app.mountPoints.map(({ path }) => path));
  const notes = mounts === undefined ? [] : [`devices refuse its mount points: ${mounts}`];
  try {
    appSettings('of it', annotations);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    notes.push(`devices refuse an ${error.message}`);
  }
  return notes;
}
