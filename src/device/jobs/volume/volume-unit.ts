import { join } from 'node:path';
import { Refusal } from '../../../core/refusal/index.ts';
import type { Disk } from '../../store/index.ts';
import type { Systemd } from '../../systemd/index.ts';

const unit = 'wherry-volume.service';
const maxFailureBytes = 4096;
/** S_IFDIR, inode(7). */
const directoryMode = 0o040000;

/** A volume, by its file. */
export interface VolumeJob {
  /** Absolute path of the file, without blanks. */
  readonly file: string;
  readonly limitBytes: bigint;
  /** Mode and owner of the root directory of a new file system. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface VolumeJobPorts {
  readonly systemd: Pick<Systemd, 'run' | 'stop' | 'resetFailed'>;
  readonly disk: Disk;
  readonly directories: { readonly run: string };
}

/**
 * Makes the file of a volume. Afterwards it is complete and durable, or does not exist.
 *
 * @throws Refusal `no-space`, `device-unsupported`
 */
export async function makeVolume(volume: VolumeJob, ports: VolumeJobPorts): Promise<void> {
  await run('make', volume, ports);
}

/**
 * Enlarges a mounted volume. Its apps keep running.
 *
 * @throws Refusal `no-space`, `device-unsupported`; the volume is unchanged, or a later call
 *   completes it
 */
export async function growVolume(volume: VolumeJob, ports: VolumeJobPorts): Promise<void> {
  await run('grow', volume, ports);
}

async function run(
  what: 'make' | 'grow',
  { file, limitBytes, mode, uid, gid }: VolumeJob,
  { systemd, disk, directories }: VolumeJobPorts,
): Promise<void> {
  const directory = join(directories.run, 'volume-job');
  // A unit that a killed wherryd left running would write its own answer. An error is ignored: the
  // unit may never have been loaded.
  await systemd.stop(unit).catch(() => undefined);
  await disk.remove(directory);
  await disk.makeDirectory(directory, { uid: 0, gid: 0 });
  const inodeMode = (directoryMode | mode).toString(8).padStart(7, '0');
  const words = [what, limitBytes, inodeMode, uid, gid, file];
  await disk.write(join(directory, 'job'), Buffer.from(`${words.join(' ')}\n`));
  await systemd.resetFailed(unit);
  const end = await systemd.run(unit);
  const text = end === 'done' ? undefined : await disk.read(join(directory, 'failure'), maxFailureBytes);
  await disk.remove(directory);
  if (end === 'done') return;
  const said = /^(no-space|device-unsupported) ([^\n]+)\n$/.exec(Buffer.from(text ?? []).toString('utf8'));
  if (said !== null) throw new Refusal(said[1] as 'no-space' | 'device-unsupported', said[2] ?? '');
  throw new Refusal(
    'device-unsupported',
    `${file} could not be ${what === 'make' ? 'made' : 'enlarged'} (${end}); see journalctl -u ${unit}`,
  );
}
