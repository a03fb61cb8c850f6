import { join } from 'node:path';
import type { CompiledPod } from '../pod/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { Disk } from '../store/index.ts';

/**
 * Refuses a pod whose apps could not start because a sealed value of their secrets is missing.
 *
 * @param secrets the directory of sealed values
 * @throws Refusal `secret-missing` when a value came neither with this version nor with a version
 *   whose deployment is kept
 */
export async function requireSealed(
  { name, services }: Pick<CompiledPod, 'name' | 'services'>,
  disk: Pick<Disk, 'look'>,
  secrets = '',
): Promise<void> {
  for (const { app, secrets: digests = [] } of services) {
    for (const digest of digests) {
      if ((await disk.look(join(secrets, `${digest}.cred`))) !== undefined) continue;
      throw new Refusal(
        'secret-missing',
        `app ${app} of pod ${name} needs the value ${digest.slice(0, 12)} of a secret, which is not on this device; deploy with --secret`,
      );
    }
  }
}
