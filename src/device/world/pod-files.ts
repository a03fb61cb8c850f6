import { createHash } from 'node:crypto';
import { chmod, chown, mkdir, rmdir, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { type DeployedPod, unitsOfService } from '../deploy/index.ts';
import { type CompiledPod, podsTargetText } from '../pod/index.ts';
import { type Disk, writeDurable } from '../store/index.ts';
import { escapeUnitPath } from '../systemd/index.ts';

export interface PodPlaces {
  /** Reified pods, bundles and the master copies of their units: /var/lib/wherry/pods */
  readonly pods: string;
  /** Volumes that outlive their pods: /var/lib/wherry/volumes */
  readonly volumes: string;
  /** Documents of the metadata service: /var/lib/wherry/metadata */
  readonly metadata: string;
  /** The key of that service: /var/lib/wherry/metadata-key */
  readonly metadataKey: string;
  /** The directory of units: /etc/systemd/system */
  readonly units: string;
  /** systemd's files about units: /run/systemd/units */
  readonly unitStates: string;
  /** The directory of mounted images: /run/wherry/images */
  readonly mounts: string;
}

const podsTarget = 'wherry-pods.target';
const maxFileBytes = 1 << 20;
/** Checksums of the files of a pod, for `sha256sum --check` in its directory. */
const sumsName = 'sha256sums';
/**
 * Names that the compiler gives to units (pod/places.ts); units of an administrator do not match.
 */
const generated =
  /^(wherry-pod-.*\.[0-9a-f]{8}(-.*\.service|\.slice)|wherry-(holder|network|secrets)-.*\.[0-9a-f]{8}\.service|wherry-probe-.*\.[0-9a-f]{8}-.*\.service|wherry-metadata-(host|.*\.[0-9a-f]{8})\.socket|wherry-socket-.*\.[0-9a-f]{8}-.*\.socket|wherry-(timer-.*\.[0-9a-f]{8}(\.[0-9a-f]{8})?\.timer|run-.*\.[0-9a-f]{8}(\.[0-9a-f]{8})?\.target)|run-wherry-(secrets|(images|volumes)-.*)\.mount)$/;

/**
 * The files of pods. A pod's own directory has a copy of its units, from which a lost unit file is
 * restored, and checksums of all its files. A single file, the target, decides what starts at boot.
 */
export class PodFiles {
  private readonly disk: Disk;
  private readonly places: PodPlaces;
  /** Whether files were written that no `enable` has made durable. */
  private isUnsynced = false;

  constructor(disk: Disk, places: PodPlaces) {
    this.disk = disk;
    this.places = places;
  }

  /**
   * Writes all files of a pod, with the document of its metadata, and starts nothing. They are not
   * durable yet: until `enable` nothing at boot refers to them, and an interrupted deployment
   * writes them again.
   */
  async write(pod: CompiledPod, metadata?: string): Promise<void> {
    const home = join(this.places.pods, pod.uuid);
    const sums: string[] = [];
    const putSummed = async (path: string, content: string, mode: number): Promise<void> => {
      sums.push(`${sha256(content)}  ${path}\n`);
      await this.put(join(home, path), content, mode);
    };
    if (metadata !== undefined) {
      await putSummed(relative(home, this.metadataOf(pod)), metadata, 0o644);
      // The token in the configuration of its apps was made with it.
      const key = (await this.read(this.places.metadataKey)) ?? '';
      sums.push(`${sha256(key)}  ${relative(home, this.places.metadataKey)}\n`);
    }
    await mkdir(join(home, 'units'), { recursive: true, mode: 0o755 });
    for (const directory of pod.directories) await this.make(home, directory);
    for (const directory of pod.keptVolumes) {
      const { volumes } = this.places;
      if (!(await this.make(volumes, directory))) continue;
      // An app may sync its files there, which is useless while the name of the directory is not
      // durable.
      for (const parent of [dirname(directory.path), '.', '..'])
        await this.disk.syncDirectory(join(volumes, parent));
    }
    // The operator's list may have had other plugins when the pod was staged before.
    for (const name of await this.disk.list(join(home, 'network'))) {
      if (pod.files.some(({ path }) => path === `network/${name}`)) continue;
      await this.disk.remove(join(home, 'network', name));
      this.isUnsynced = true;
    }
    for (const { path, content, mode } of pod.files) await putSummed(path, content, mode);
    // The running set may have other units of the same pod: those of other values of secrets. A
    // rollback returns to them.
    const names = new Set(pod.units.map(({ name }) => `units/${name}`));
    for (const [path, sum] of await this.readSums(pod)) {
      if (!path.startsWith('units/') || names.has(path)) continue;
      if ((await this.disk.look(join(home, path))) !== undefined) sums.push(`${sum}  ${path}\n`);
    }
    // Last, so that a list that was cut off lacks a unit.
    for (const { name, text } of pod.units) {
      await putSummed(`units/${name}`, text, 0o644);
      await this.writeUnit(name, text);
    }
    await this.put(join(home, sumsName), sums.join(''), 0o644);
  }

  /** Paths of the files of `pod` that are not as they were written. */
  async damaged(pod: DeployedPod): Promise<readonly string[]> {
    const home = join(this.places.pods, pod.uuid);
    const sums = await this.sums(pod);
    if (sums === undefined) return [join(home, sumsName)];
    const damaged: string[] = [];
    const units = new Set(unitsOf(pod).map((name) => `units/${name}`));
    for (const [path, sum] of sums) {
      if (path.startsWith('units/') && !units.has(path)) continue;
      const bytes = await this.read(join(home, path));
      if (bytes === undefined || sha256(bytes) !== sum) damaged.push(join(home, path));
    }
    return damaged;
  }

  /** Checksums by path below the directory of the pod; undefined when the list is damaged. */
  private async sums(pod: DeployedPod): Promise<ReadonlyMap<string, string> | undefined> {
    const sums = await this.readSums(pod);
    return unitsOf(pod).every((name) => sums.has(`units/${name}`)) ? sums : undefined;
  }

  private async readSums(pod: Pick<DeployedPod, 'uuid'>): Promise<ReadonlyMap<string, string>> {
    const bytes = (await this.read(join(this.places.pods, pod.uuid, sumsName))) ?? '';
    const lines = Buffer.from(bytes)
      .toString('utf8')
      .matchAll(/^([0-9a-f]{64}) {2}(.+)$/gm);
    return new Map([...lines].map(([, sum = '', path = '']) => [path, sum]));
  }

  /** Undefined for a file that is missing or cannot be read. */
  private async read(path: string): Promise<Uint8Array | undefined> {
    return await this.disk.read(path, maxFileBytes).catch(() => undefined);
  }

  /**
   * Creates a directory; false when it exists. Then it is left alone: an app may have changed owner
   * and mode of its volume.
   */
  private async make(
    home: string,
    { path, mode, uid, gid }: CompiledPod['directories'][number],
  ): Promise<boolean> {
    const place = join(home, path);
    if ((await this.disk.look(place)) !== undefined) return false;
    await mkdir(place, { recursive: true, mode: 0o755 });
    await chown(place, uid, gid);
    await chmod(place, mode);
    return true;
  }

  /** Writes one unit file for systemd, not durably. */
  async writeUnit(name: string, text: string): Promise<void> {
    await this.put(join(this.places.units, name), text, 0o644);
  }

  /**
   * Restores unit files of `pod` that are missing or differ; true when there were any. A unit and
   * its copy restore each other: the checksum decides which of them is damaged.
   */
  async repair(pod: DeployedPod): Promise<boolean> {
    const sums = await this.sums(pod);
    let repaired = false;
    for (const name of unitsOf(pod)) {
      const place = join(this.places.units, name);
      const copy = join(this.places.pods, pod.uuid, 'units', name);
      const found = [await this.read(copy), await this.read(place)];
      const text = found.find((bytes) => bytes !== undefined && sha256(bytes) === sums?.get(`units/${name}`));
      if (text === undefined) continue;
      for (const [at, path] of [copy, place].entries()) {
        if (sameBytes(text, found[at])) continue;
        await writeDurable(this.disk, path, text);
        await this.disk.own(path, { uid: 0, gid: 0 }, 0o644);
        repaired ||= path === place;
      }
    }
    return repaired;
  }

  /**
   * Makes `pods` durable, and then the set that starts at boot, by one rename. Writes nothing when
   * they are that set already and no file was written.
   */
  async enable(pods: readonly DeployedPod[]): Promise<void> {
    const units = pods.flatMap(({ timer, services }) =>
      timer === undefined ? services.flatMap(unitsOfService) : [timer],
    );
    const text = Buffer.from(podsTargetText(units));
    const place = join(this.places.units, podsTarget);
    const link = join(this.places.units, 'multi-user.target.wants', podsTarget);
    const isLinked = async () => (await this.disk.realPath(link)) === (await this.disk.realPath(place));
    const isSet = sameBytes(text, await this.read(place)) && (await isLinked());
    if (isSet && !this.isUnsynced) return;

    for (const pod of pods) {
      await this.sync(join(this.places.pods, pod.uuid));
      if ((await this.disk.look(this.metadataOf(pod))) === undefined) continue;
      await this.disk.syncFile(this.metadataOf(pod));
      await this.disk.syncDirectory(this.places.metadata);
    }
    for (const unit of pods.flatMap(unitsOf)) await this.disk.syncFile(join(this.places.units, unit));
    await this.disk.syncDirectory(this.places.units);
    if (!isSet) {
      await mkdir(dirname(link), { recursive: true });
      await this.disk.remove(link);
      await symlink(`../${podsTarget}`, link);
      await this.disk.syncDirectory(dirname(link));
    }
    await writeDurable(this.disk, place, text);
    await this.disk.own(place, { uid: 0, gid: 0 }, 0o644);
    this.isUnsynced = false;
  }

  /**
   * Removes the units that only `pods` have; units that `kept` share stay. Collection removes the
   * directories of other pods.
   */
  async remove(pods: readonly DeployedPod[], kept: readonly DeployedPod[]): Promise<void> {
    const shared = new Set(kept.flatMap(unitsOf));
    for (const pod of pods) {
      const isKept = kept.some(({ uuid }) => uuid === pod.uuid);
      for (const unit of unitsOf(pod)) {
        if (shared.has(unit)) continue;
        await this.removeUnit(unit);
        // Collection leaves the directory of a pod that runs with other values of secrets.
        if (isKept) await this.disk.remove(join(this.places.pods, pod.uuid, 'units', unit));
      }
    }
  }

  /**
   * Names of units of pods and images that belong to none of `kept`, left by an interruption or a
   * refusal. Each has a file or is among `loaded`: systemd keeps a running or failed unit when its
   * file is gone.
   */
  async strays(kept: readonly DeployedPod[], loaded: readonly string[]): Promise<string[]> {
    const known = new Set(kept.flatMap(unitsOf));
    const names = new Set([...(await this.disk.list(this.places.units)), ...loaded]);
    return [...names].filter((name) => generated.test(name) && !known.has(name));
  }

  async removeUnit(name: string): Promise<void> {
    // systemd 257 never removes what it writes for LogExtraFields=: a page of memory each.
    await this.disk.remove(join(this.places.unitStates, `log-extra-fields:${name}`));
    await this.disk.remove(join(this.places.units, name));
  }

  /**
   * Removes the report of a failed attachment of the pod's network. systemd repeats a failed
   * attachment until its unit is stopped, so there may be one after wherryd has read the last.
   */
  async removeFailure(uuid: string): Promise<void> {
    const report = join(dirname(this.places.mounts), 'attachments', `${uuid}.failure`);
    await this.disk.remove(report);
    await this.disk.remove(`${report}.new`); // of an attachment that was killed while it wrote
  }

  /**
   * Removes the mount points of images that are neither kept nor mounted; systemd does not remove
   * them.
   */
  async removeMountPoints(isKept: (imageId: string) => boolean): Promise<void> {
    for (const id of await this.disk.list(this.places.mounts)) {
      if (!isKept(id)) await rmdir(join(this.places.mounts, id)).catch(() => undefined); // not empty: still mounted
    }
  }

  /** Removes the values that were delivered to pods that are not among `kept`, from memory. */
  async removeSecrets(kept: readonly DeployedPod[]): Promise<void> {
    const secrets = join(dirname(this.places.mounts), 'secrets');
    for (const uuid of await this.disk.list(secrets)) {
      if (!kept.some((pod) => pod.uuid === uuid)) await this.disk.remove(join(secrets, uuid));
    }
  }

  /** The same for volumes with a limit whose mount units are not among `kept`. */
  async removeVolumePoints(kept: ReadonlySet<string>): Promise<void> {
    const volumes = join(dirname(this.places.mounts), 'volumes');
    for (const pod of await this.disk.list(volumes)) {
      for (const volume of await this.disk.list(join(volumes, pod))) {
        const point = join(volumes, pod, volume);
        if (!kept.has(`${escapeUnitPath(point)}.mount`)) await rmdir(point).catch(() => undefined); // still mounted
      }
      await rmdir(join(volumes, pod)).catch(() => undefined); // not empty: it has other volumes
    }
  }

  private metadataOf({ uuid }: { readonly uuid: string }): string {
    return join(this.places.metadata, `${uuid}.json`);
  }

  /**
   * A file that has this content is not written again: systemd would regard the file of a running
   * unit as changed. Another one is replaced at once: a power cut could empty a file that starts at
   * boot. What cannot be read is replaced.
   */
  private async put(path: string, content: string, mode: number): Promise<void> {
    const bytes = Buffer.from(content);
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    const present = await this.read(path);
    if (!sameBytes(bytes, present)) {
      this.isUnsynced = true;
      if (present === undefined) await this.disk.write(path, bytes);
      else await writeDurable(this.disk, path, bytes);
    }
    await this.disk.own(path, { uid: 0, gid: 0 }, mode);
  }

  /** Syncs every file and name below a directory, except the volumes of apps. */
  private async sync(path: string): Promise<void> {
    for (const name of await this.disk.list(path)) {
      if (name === 'volumes') continue;
      const child = join(path, name);
      const kind = (await this.disk.look(child))?.kind;
      if (kind === 'directory') await this.sync(child);
      else if (kind === 'file') await this.disk.syncFile(child);
    }
    await this.disk.syncDirectory(path);
    await this.disk.syncDirectory(dirname(path));
  }
}

/** Every unit file of a pod. */
function unitsOf(pod: DeployedPod): string[] {
  const services = pod.services.flatMap((service) => [
    ...unitsOfService(service),
    ...(service.probe?.ask.kind === 'exec' ? [service.probe.ask.unit] : []),
  ]);
  return [pod.slice, ...services, ...pod.mounts, ...(pod.timer === undefined ? [] : [pod.timer])];
}

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

function sameBytes(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && Buffer.compare(a, b) === 0;
}
