import { join } from 'node:path';
import { Refusal } from '../../../core/refusal/index.ts';
import type { Disk } from '../../store/index.ts';
import type { Systemd } from '../../systemd/index.ts';
import { type ReceivedSecret, valueFile } from '../examine/index.ts';

const unit = 'wherry-seal.service';

/**
 * Has the values in `directory` sealed by a unit of its own: they are neither in wherryd's memory
 * nor, as they are, on the disk. When this returns, they are durable as `<digest>.cred` in
 * `secrets`.
 *
 * @throws {Refusal} `device-unsupported` when one was not sealed
 */
export async function sealInUnit(
  received: readonly ReceivedSecret[],
  directory: string,
  { systemd, disk, secrets }: { readonly systemd: Systemd; readonly disk: Disk; readonly secrets: string },
  signal: AbortSignal,
): Promise<void> {
  // The directory is an unprivileged unit's: root must not follow what that has linked.
  for (const secret of received) {
    const kind = (await disk.look(join(directory, valueFile(secret))))?.kind;
    if (kind !== 'file') throw new Refusal('internal', `the value of the secret ${secret.name} did not come`);
  }
  await disk.makeDirectory(secrets, { uid: 0, gid: 0 });
  await systemd.resetFailed(unit);
  const end = await systemd.run(unit, signal);
  await systemd.stop(unit);
  signal.throwIfAborted();
  for (const { name, digest } of received) {
    if ((await disk.look(sealedPath(secrets, digest))) !== undefined) continue;
    throw new Refusal(
      'device-unsupported',
      `the secret ${name} could not be sealed (${end}); see journalctl -u ${unit}`,
    );
  }
}

/** Where the sealed value of a secret is. */
export function sealedPath(secrets: string, digest: string): string {
  return join(secrets, `${digest}.cred`);
}
