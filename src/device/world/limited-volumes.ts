import { Refusal } from '../../core/refusal/index.ts';
import { growVolume, makeVolume, type VolumeJobPorts } from '../jobs/volume/index.ts';
import { type CompiledPod, type LimitedVolume, limitedVolumeSuffix } from '../pod/index.ts';
import type { Systemd } from '../systemd/index.ts';
import type { PodFiles } from './pod-files.ts';

export interface LimitedVolumesPorts extends VolumeJobPorts {
  readonly systemd: VolumeJobPorts['systemd'] & Pick<Systemd, 'start' | 'status' | 'resetFailed'>;
  readonly files: Pick<PodFiles, 'writeUnit'>;
  readonly directories: { readonly volumes: string; readonly run: string };
  /** Running pods. */
  readonly running: readonly { readonly uuid: string }[];
  /** What must stay free for everything else on the device. */
  readonly reserveBytes: number;
}

/** The action for a volume. */
export type VolumeAct =
  | { readonly act: 'keep' }
  | { readonly act: 'make'; readonly bytes: bigint }
  /** `bytes` more; 0 when the file has grown and its file system has not. */
  | { readonly act: 'grow'; readonly bytes: bigint };

/** What is on the disk at the path of a volume. */
export interface FoundVolume {
  /** The file of a volume with a limit. */
  readonly file: { readonly sizeBytes: number } | undefined;
  /** Whether there is the directory of a volume without a limit. */
  readonly directory: boolean;
  /** Whether an enlargement is incomplete. */
  readonly growing: boolean;
  /** Whether this very pod runs: an update that was rolled back may have enlarged its volume. */
  readonly runs: boolean;
}

/**
 * The action that gives a kept volume of the pod `pod` its limit. The content of a volume is never
 * copied, and a file system never shrunk: both make the data unavailable and can fail half way.
 *
 * @param limitBytes undefined for a volume without a limit
 * @throws Refusal `pod-volume-invalid` for a volume that exists with the other kind, or is larger
 */
export function planVolume(
  pod: string,
  name: string,
  limitBytes: bigint | undefined,
  { file, directory, growing, runs }: FoundVolume,
): VolumeAct {
  const refuse = (why: string) =>
    new Refusal(
      'pod-volume-invalid',
      `annotation wherry/kept-volumes: the volume ${name} of pod ${pod} ${why}`,
    );
  if (limitBytes === undefined) {
    if (file === undefined) return { act: 'keep' };
    throw refuse(`has a limit on this device; give it one of at least ${sizeText(BigInt(file.sizeBytes))}`);
  }
  if (file === undefined) {
    if (!directory) return { act: 'make', bytes: limitBytes };
    throw refuse('is there without a limit, and cannot get one; name another volume, or remove it first');
  }
  const has = BigInt(file.sizeBytes);
  if (has > limitBytes && runs) return { act: 'keep' };
  if (has > limitBytes) {
    throw refuse(`has ${sizeText(has)} and cannot be made smaller; give it at least that`);
  }
  return has < limitBytes || growing ? { act: 'grow', bytes: limitBytes - has } : { act: 'keep' };
}

/**
 * Creates, enlarges and mounts the volumes of these pods that have a limit. Creates nothing when
 * one of them is refused.
 *
 * @throws Refusal `pod-volume-invalid`, `no-space`, `device-unsupported`
 */
export async function readyLimitedVolumes(
  pods: readonly CompiledPod[],
  ports: LimitedVolumesPorts,
): Promise<void> {
  const { disk, directories, systemd, files } = ports;
  const planned: { readonly pod: CompiledPod; readonly volume: LimitedVolume; readonly act: VolumeAct }[] =
    [];
  for (const pod of pods) {
    for (const { path } of pod.keptVolumes) {
      const found = await look(pod, `${directories.volumes}/${path}`);
      planVolume(pod.name, path.slice(path.lastIndexOf('/') + 1), undefined, found);
    }
    for (const volume of pod.limitedVolumes) {
      const found = await look(pod, volume.file.slice(0, -limitedVolumeSuffix.length));
      planned.push({ pod, volume, act: planVolume(pod.name, volume.name, volume.limitBytes, found) });
    }
  }
  if (planned.length === 0) return;
  await admit(planned.map(({ act }) => act));
  const made: LimitedVolume[] = [];
  try {
    for (const { volume, act } of planned) {
      if (act.act !== 'make') continue;
      await disk.makeDirectory(directoryOf(volume.file), root);
      await makeVolume(volume, ports);
      made.push(volume);
    }
    for (const { pod, volume, act } of planned) {
      await mount(pod, volume);
      if (act.act === 'grow') await growVolume(volume, ports);
    }
  } catch (error) {
    for (const { unit, file } of made) {
      await systemd.stop(unit).catch(() => undefined); // it was never mounted
      await disk.remove(file);
    }
    throw error;
  }

  async function look({ uuid }: CompiledPod, path: string): Promise<FoundVolume> {
    return {
      file: await disk.look(`${path}${limitedVolumeSuffix}`),
      directory: (await disk.look(path)) !== undefined,
      runs: ports.running.some((one) => one.uuid === uuid),
      growing: (await disk.look(`${path}${limitedVolumeSuffix}.growing`)) !== undefined,
    };
  }

  async function admit(acts: readonly VolumeAct[]): Promise<void> {
    const changes = acts.filter((act) => act.act !== 'keep');
    if (changes.length === 0) return;
    if ((await disk.look(mkfs)) === undefined) {
      throw new Refusal(
        'device-unsupported',
        `volumes with a limit take ${mkfs}, which is not on this device; install e2fsprogs`,
      );
    }
    await disk.makeDirectory(directories.volumes, root);
    const needed = changes.reduce((sum, { bytes }) => sum + bytes, 0n);
    const usable = Math.max(0, (await disk.freeBytes(directories.volumes)) - ports.reserveBytes);
    if (needed <= usable) return;
    throw new Refusal(
      'no-space',
      `volumes with a limit need ${sizeText(needed)} more, but only ${sizeText(BigInt(usable))} are free above the reserve`,
    );
  }

  async function mount(pod: CompiledPod, { name, unit }: LimitedVolume): Promise<void> {
    if ((await systemd.status(unit)).activeState === 'active') return;
    const text = pod.units.find((one) => one.name === unit)?.text ?? '';
    await files.writeUnit(unit, text);
    await systemd.resetFailed(unit);
    const result = await systemd.start(unit);
    if (result === 'done') return;
    throw new Refusal(
      'device-unsupported',
      `the volume ${name} of pod ${pod.name} cannot be mounted (${result}); see journalctl -u ${unit}`,
    );
  }
}

const mkfs = '/usr/sbin/mkfs.ext4';
const root = { uid: 0, gid: 0 };

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

/** In the units of manifests. */
function sizeText(bytes: bigint): string {
  return bytes % (1n << 20n) === 0n ? `${bytes >> 20n}Mi` : `${bytes >> 10n}Ki`;
}
