import { join } from 'node:path';
import { diskRefusal, Refusal } from '../../../core/refusal/index.ts';
import type { Disk } from '../../store/index.ts';
import type { Systemd } from '../../systemd/index.ts';
import { type ReceivedSecret, valueFile } from '../examine/index.ts';

const unit = 'wherry-seal.service';
/** More than systemd-creds makes of the largest value. */
const sealedBytes = 64 * 1024;

/**
 * Seals the values in `directory` in a unit of its own, so that they are never in wherryd's memory,
 * and never in plain text on the disk. When this returns, they are durable as `<digest>.cred` in
 * `secrets`.
 *
 * @throws {Refusal} `no-space` or `disk-failed` when the disk cannot hold them,
 *   `device-unsupported` when one was not sealed, `internal` when a value is missing
 */
export async function sealInUnit(
  received: readonly ReceivedSecret[],
  directory: string,
  { systemd, disk, secrets }: { readonly systemd: Systemd; readonly disk: Disk; readonly secrets: string },
  signal: AbortSignal,
): Promise<void> {
  // The directory belongs to an unprivileged unit: root must not follow its links.
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
    await requireRoom(disk, secrets, `the secret ${name} cannot be sealed`);
    throw new Refusal(
      'device-unsupported',
      `the secret ${name} could not be sealed (${end}); see journalctl -u ${unit}`,
    );
  }
}

/**
 * systemd-creds reports every failure by one exit status. A full disk must be recognised: a command
 * that it refuses is tried again.
 */
async function requireRoom(disk: Disk, secrets: string, what: string): Promise<void> {
  const trial = join(secrets, 'trial.new');
  try {
    await disk.write(trial, new Uint8Array(sealedBytes));
    await disk.syncFile(trial);
  } catch (error) {
    throw diskRefusal(error, what) ?? error;
  } finally {
    await disk.remove(trial).catch(() => undefined); // on a disk that is read-only now
  }
}

/** The path of the sealed value of a secret. */
function sealedPath(secrets: string, digest: string): string {
  return join(secrets, `${digest}.cred`);
}
