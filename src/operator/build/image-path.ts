import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Refusal } from '../../core/refusal/index.ts';

/**
 * The status of an image that the user named. Refuses a directory here, because the error of
 * reading it would not name it.
 * @throws Refusal `not-found`, `input-invalid`
 */
export async function statImage(path: string): Promise<Stats> {
  const status = await stat(path).catch((cause: unknown) => {
    throw new Refusal('not-found', `there is no image ${path}`, { cause });
  });
  if (status.isDirectory()) throw new Refusal('input-invalid', `${path} is a directory; name an image file`);
  return status;
}
