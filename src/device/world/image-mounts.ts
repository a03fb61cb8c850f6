import { join } from 'node:path';
import type { DeployedPod } from '../deploy/index.ts';
import { type HostFacts, mountUnit } from '../pod/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { Systemd } from '../systemd/index.ts';
import type { PodFiles } from './pod-files.ts';

export interface ImageMountsPorts {
  readonly systemd: Systemd;
  readonly files: PodFiles;
  readonly directories: HostFacts['directories'];
}

/** Mounts image objects and rendered trees through systemd. */
export class ImageMounts {
  private readonly ports: ImageMountsPorts;

  constructor(ports: ImageMountsPorts) {
    this.ports = ports;
  }

  /** The mount unit of an object. */
  unitOf(id: string): string {
    return mountUnit(id, this.ports).name;
  }

  /**
   * Mounts an object unless it is mounted, and returns its root file system.
   * @throws Refusal `image-corrupt`
   */
  async mount(id: string): Promise<string> {
    const { systemd, files, directories } = this.ports;
    const mount = mountUnit(id, { directories });
    const { activeState } = await systemd.status(mount.name);
    if (activeState !== 'active') {
      await files.writeUnit(mount.name, mount.text);
      const result = await systemd.start(mount.name);
      if (result !== 'done') {
        throw new Refusal(
          'image-corrupt',
          `the object of ${id} cannot be mounted (${result}); see journalctl -u ${mount.name}`,
        );
      }
    }
    return join(mount.where, 'rootfs');
  }

  /** Stops and removes the units of pods and images that do not belong to `kept`. */
  async removeStrays(kept: readonly DeployedPod[]): Promise<void> {
    const { files, systemd } = this.ports;
    const loaded = await systemd.list(unitPatterns);
    const present = loaded.filter(({ activeState }) => activeState !== 'inactive');
    const strays = await files.strays(
      kept,
      present.map(({ name }) => name),
    );
    // Users of a mount or a holder stop before it, and services before their slice would kill them.
    const services = strays.filter((unit) => unit.endsWith('.service'));
    if (services.length > 0) await systemd.disable(services);
    for (const unit of strays.sort((a, b) => endsAfter(a) - endsAfter(b))) {
      await systemd.stop(unit).catch(() => undefined); // it was never loaded
      await systemd.resetFailed(unit);
      if (unit.endsWith('.timer')) await systemd.forgetRuns(unit);
      await files.removeUnit(unit);
    }
    await this.unloadForgotten(kept);
    const mounts = new Set(kept.flatMap((pod) => pod.mounts));
    await files.removeMountPoints((id) => mounts.has(this.unitOf(id)));
    await files.removeVolumePoints(mounts);
    await files.removeSecrets(kept);
  }

  /**
   * Makes systemd forget units that do not belong to `kept`. Since its last reload, which every
   * upgrade of a package causes, systemd may know a target that wants them. It then keeps them
   * loaded although their files are gone, and would start them with the target.
   */
  async unloadForgotten(kept: readonly DeployedPod[]): Promise<void> {
    const { files, systemd } = this.ports;
    const loaded = (await systemd.list(unitPatterns)).map(({ name }) => name);
    const strays = await files.strays(kept, loaded);
    if (strays.some((unit) => loaded.includes(unit))) await systemd.reload();
  }
}

/** Name patterns of the units of pods and images (pod/places.ts). */
const unitPatterns = [
  ...['pod', 'holder', 'network', 'probe', 'metadata', 'socket', 'timer', 'run', 'secrets'].map(
    (kind) => `wherry-${kind}-*`,
  ),
  ...['run-wherry-images-*.mount', 'run-wherry-volumes-*.mount', 'run-wherry-secrets.mount'],
];

/** The order of stops: timers, then apps and all others, then holders, slices and mounts. */
function endsAfter(unit: string): number {
  if (unit.endsWith('.timer')) return -1;
  if (unit.endsWith('.mount')) return 3;
  if (unit.endsWith('.slice')) return 2;
  return unit.startsWith('wherry-holder-') ? 1 : 0;
}
