import { join } from 'node:path';
import {
  type ImageId,
  layersOf,
  type ListedImage,
  parseImageId,
  parseImageManifest,
  parsePodManifest,
  resolveDependencies,
} from '../appc/index.ts';
import type { DeployedPod, DeviceState, World } from '../deploy/index.ts';
import { Probation, probationRules } from '../health/index.ts';
import {
  compilePod,
  type CompiledPod,
  type HostFacts,
  mountUnit,
  type PodImage,
  podUuid,
} from '../pod/index.ts';
import type { Clock, Journal } from '../ports/index.ts';
import { isRefusal, Refusal } from '../refusal/index.ts';
import {
  admitSpace,
  collect,
  type Disk,
  type ImageStore,
  spaceNeeded,
  type StoredImage,
} from '../store/index.ts';
import type { Systemd } from '../systemd/index.ts';
import type { DesiredImage, DesiredState } from '../trust/index.ts';
import { readAccounts } from './accounts.ts';
import { PodFiles } from './pod-files.ts';
import type { PodWatch } from './pod-watch.ts';
import { checkPrograms } from './programs.ts';
import { jobName } from './pull-unit.ts';

export interface DeviceWorldPorts {
  readonly systemd: Systemd;
  readonly disk: Disk;
  readonly store: ImageStore;
  readonly clock: Clock;
  readonly journal: Journal;
  readonly watch: PodWatch;
  readonly files: PodFiles;
  readonly directories: HostFacts['directories'] & { readonly partial: string };
  readonly host: Omit<HostFacts, 'limits' | 'directories'>;
  /** Values of the `arch` label that this device can run, best first. */
  readonly architectures: readonly string[];
  readonly reserveBytes: number;
  readonly compression: 'none' | 'lz4';
  /** Pulls one image in the pull unit. */
  readonly pull: (
    image: DesiredImage,
    onProgress: (receivedBytes: number) => void,
    signal: AbortSignal,
  ) => Promise<StoredImage>;
}

const lookEveryMs = 1000;

/** The device as a deployment acts on it: systemd runs and mounts, the store keeps, the pull unit fetches. */
export class DeviceWorld implements World {
  private readonly ports: DeviceWorldPorts;
  private running: readonly DeployedPod[] = [];

  constructor(ports: DeviceWorldPorts) {
    this.ports = ports;
  }

  /** The pods that were last made to run: what a report is about. */
  get pods(): readonly DeployedPod[] {
    return this.running;
  }

  async reserve(images: readonly DesiredImage[], state: DeviceState): Promise<void> {
    if (images.length === 0) return;
    const { disk, directories, reserveBytes, compression } = this.ports;
    const need = spaceNeeded(images, new Set(), compression);
    const free = await disk.freeBytes(directories.images);
    try {
      admitSpace(need, free, reserveBytes);
    } catch (error) {
      if (!isRefusal(error, 'no-space')) throw error;
      await this.collect(state);
      admitSpace(need, await disk.freeBytes(directories.images), reserveBytes);
    }
  }

  async pull(
    image: DesiredImage,
    onProgress: (receivedBytes: number) => void,
    signal: AbortSignal,
  ): Promise<StoredImage> {
    return await this.ports.pull(image, onProgress, signal);
  }

  async intact(image: StoredImage): Promise<boolean> {
    const refusal = await this.ports.store.verifyCheaply(image);
    if (refusal === undefined) return true;
    this.ports.journal.log('error', refusal.message, { WHERRY_CODE: refusal.code });
    return false;
  }

  async stage(desired: DesiredState, images: readonly StoredImage[]): Promise<readonly DeployedPod[]> {
    try {
      return await this.compile(desired, images);
    } catch (error) {
      // Images were mounted to be looked at.
      await this.removeStrays();
      throw error;
    }
  }

  private async compile(
    desired: DesiredState,
    images: readonly StoredImage[],
  ): Promise<readonly DeployedPod[]> {
    const compiled: CompiledPod[] = [];
    const listed = images.map((image) => layerImage(image, desired));
    for (const pod of desired.pods) {
      const manifest = parsePodManifest(pod.manifest);
      const needed = new Map<string, PodImage>();
      for (const app of manifest.apps) {
        const image = listed.find(({ id }) => id === app.image.id);
        if (image === undefined) {
          throw new Refusal(
            'pod-image-unlisted',
            `app ${app.name} of pod ${pod.name} uses ${app.image.id}, which the desired state does not list`,
          );
        }
        const { manifest: imageManifest } = image;
        const apps = [app.app, imageManifest.app].filter((candidate) => candidate !== undefined);
        const layers = layersFor(image, listed);
        const roots: string[] = [];
        for (const id of layers) roots.push(await this.mountImage(id));
        needed.set(image.id, {
          id: image.id,
          manifest: imageManifest,
          layers,
          ...(await readAccounts(roots, apps)),
        });
        const runs = app.app ?? imageManifest.app;
        const { architectures } = this.ports;
        if (runs) await checkPrograms({ roots, podApp: app, app: runs, architectures });
      }
      const compiledPod = compilePod({
        name: pod.name,
        uuid: podUuid(pod.name, pod.manifest),
        manifest,
        images: needed,
        host: {
          ...this.ports.host,
          limits: desired.policy.limits,
          directories: this.ports.directories,
        },
      });
      for (const { app, path } of compiledPod.sources) {
        if ((await this.ports.disk.look(path)) !== undefined) continue;
        throw new Refusal(
          'pod-volume-invalid',
          `app ${app} of pod ${pod.name} needs ${path}, which is not on this device (ace.md, volume setup)`,
        );
      }
      compiled.push(compiledPod);
    }
    for (const pod of compiled) await this.ports.files.write(pod);
    return compiled.map(({ name, uuid, slice, services, mounts, isolators }) => ({
      name,
      uuid,
      slice,
      services,
      mounts,
      isolators,
    }));
  }

  async converge(pods: readonly DeployedPod[], signal?: AbortSignal): Promise<void> {
    const { systemd, watch } = this.ports;
    const wanted = new Set(pods.flatMap((pod) => pod.services.map((service) => service.unit)));
    const loaded = await systemd.list(['wherry-pod-*.service', 'wherry-pod-*.slice']);
    const foreign = loaded.filter(
      ({ name, activeState }) =>
        activeState !== 'inactive' && !wanted.has(name) && !pods.some((pod) => pod.slice === name),
    );
    // Services first: a slice that goes takes what is in it without ceremony.
    for (const suffix of ['.service', '.slice']) {
      const stopping = foreign.filter(({ name }) => name.endsWith(suffix));
      await Promise.all(stopping.map(({ name }) => systemd.stop(name)));
    }
    watch.follow(pods);
    this.running = pods;
    for (const pod of pods) {
      for (const { app, unit } of pod.services) {
        signal?.throwIfAborted();
        const { activeState } = await systemd.status(unit);
        if (activeState === 'active' || activeState === 'activating') continue;
        await systemd.resetFailed(unit);
        const result = await systemd.start(unit, signal);
        if (result === 'done') continue;
        const { result: reason = result } = await systemd.status(unit);
        throw new Refusal(
          'activation-failed',
          `app ${app} of pod ${pod.name} did not start (${reason}); journalctl -u ${unit} has its words`,
        );
      }
    }
  }

  async probation(pods: readonly DeployedPod[], seconds: number, signal: AbortSignal): Promise<void> {
    const { clock, watch } = this.ports;
    const look = async () =>
      (await Promise.all(pods.map((pod) => watch.observe(pod)))).flat().map(({ sample }) => sample);
    const probation = new Probation(probationRules(seconds), clock.monotonicMs(), await look());
    for (;;) {
      signal.throwIfAborted();
      const verdict = probation.judge(clock.monotonicMs(), await look());
      if (verdict.outcome === 'healthy') return;
      if (verdict.outcome === 'unhealthy') {
        throw new Refusal('probation-failed', `app ${verdict.app} ${verdict.reason}`);
      }
      await clock.sleep(lookEveryMs, signal);
    }
  }

  async enable(pods: readonly DeployedPod[]): Promise<void> {
    await this.ports.files.enable(pods);
  }

  async forget(pods: readonly DeployedPod[]): Promise<void> {
    const { files, systemd } = this.ports;
    await files.remove(pods, this.running);
    const mounted = new Set(this.running.flatMap((pod) => pod.mounts));
    for (const mount of pods.flatMap((pod) => pod.mounts)) {
      if (!mounted.has(mount)) await systemd.stop(mount).catch(() => undefined); // it was never mounted
    }
  }

  /** Puts the world in order at the start of wherryd: what is committed runs, and its unit files are whole. */
  async reconcile(state: DeviceState): Promise<void> {
    const { files, journal, systemd } = this.ports;
    const pods = state.current?.pods ?? [];
    let repaired = false;
    for (const pod of pods) repaired = (await files.repair(pod)) || repaired;
    if (repaired) {
      journal.log(
        'warning',
        'unit files of the running deployment were missing or changed and were put back',
      );
      await systemd.reload();
    }
    if (state.pending !== undefined) {
      // The deployment that is taken up again decides what runs; until then the report shows what does.
      this.running = pods;
      this.ports.watch.follow(pods);
      return;
    }
    await files.enable(pods);
    await this.converge(pods).catch((error: unknown) => {
      if (!isRefusal(error)) throw error;
      journal.log('error', error.message, { WHERRY_CODE: error.code });
    });
  }

  /** Removes whatever neither the current, the previous nor the pending deployment needs. */
  async collect(state: DeviceState): Promise<void> {
    const { disk, directories, journal } = this.ports;
    await this.removeStrays(); // first: an object that is mounted gives no space back
    const deployments = [state.current, state.previous].filter((deployment) => deployment !== undefined);
    const desired = state.pending?.desired;
    const pendingImages = desired?.images.map((image) => image.id) ?? [];
    const { removed, freedBytes } = await collect(disk, directories, {
      imageIds: [...deployments.flatMap((deployment) => deployment.imageIds), ...pendingImages],
      jobs: pendingImages.map(jobName),
      podUuids: [
        ...deployments.flatMap((deployment) => deployment.pods.map((pod) => pod.uuid)),
        ...this.running.map((pod) => pod.uuid),
        ...(desired?.pods.map((pod) => podUuid(pod.name, pod.manifest)) ?? []),
      ],
    });
    if (removed.length > 0) {
      journal.log('info', `collected ${removed.length} files and directories, ${freedBytes} bytes`);
    }
  }

  /** Ends and removes the units of pods and images that are not those of the running pods. */
  private async removeStrays(): Promise<void> {
    const { files, systemd } = this.ports;
    for (const unit of await files.strays(this.running)) {
      await systemd.stop(unit).catch(() => undefined); // it was never loaded
      await files.removeUnit(unit);
    }
    const mounts = new Set(this.running.flatMap((pod) => pod.mounts));
    await files.removeMountPoints((id) => mounts.has(mountUnit(id, this.ports).name));
  }

  /** Mounts an image through systemd and returns its root file system. */
  private async mountImage(id: string): Promise<string> {
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
}

interface LayerImage extends ListedImage {
  readonly impliesDirectories: boolean;
}

function layerImage(stored: StoredImage, desired: DesiredState): LayerImage {
  const sizeBytes = desired.images.find(({ id }) => id === stored.id)?.sizeBytes;
  return {
    id: parseImageId(stored.id),
    manifest: parseImageManifest(stored.manifest),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
    impliesDirectories: stored.impliesDirectories === true,
  };
}

/**
 * The images whose objects, the uppermost first, overlayfs makes one tree of: the same that rendering makes (ace.md).
 * @throws Refusal `image-dependency-missing`, `image-dependency-invalid`
 */
function layersFor(image: LayerImage, listed: readonly LayerImage[]): readonly ImageId[] {
  const layers = layersOf(resolveDependencies(image, listed));
  // overlayfs takes owner and mode of a directory from the uppermost layer, which then must know them.
  const unsure = layers.slice(1).find((layer) => layer.impliesDirectories);
  if (unsure !== undefined) {
    throw new Refusal(
      'image-dependency-invalid',
      `${image.manifest.name}: the archive of ${unsure.manifest.name} leaves out entries of directories, so it cannot be laid over another image; deploy what "wherry image render" makes of them`,
    );
  }
  return layers.map(({ id }) => id).reverse();
}
