import { join } from 'node:path';
import { parsePodManifest } from '../appc/index.ts';
import {
  type DeployedPod,
  type DeviceState,
  referencedObjects,
  type Rendering,
  rootsOf,
  type World,
} from '../deploy/index.ts';
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
  type ImageSize,
  type ImageStore,
  spaceNeeded,
  type StoredImage,
  type StoredObject,
  type StoredTree,
} from '../store/index.ts';
import type { DamagedImage } from '../session/index.ts';
import type { Systemd } from '../systemd/index.ts';
import type { DesiredImage, DesiredState } from '../trust/index.ts';
import { readAccounts } from './accounts.ts';
import { appImages, appTree, imageOfApp, renderingsOf } from './app-trees.ts';
import { PodFiles } from './pod-files.ts';
import type { PodWatch } from './pod-watch.ts';
import { checkPrograms } from './programs.ts';

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
  /** Renders one tree, whose images are mounted, in the rendering unit. */
  readonly render: (rendering: Rendering, signal: AbortSignal) => Promise<StoredTree>;
}

const lookEveryMs = 1000;

/** The device as a deployment acts on it: systemd runs and mounts, the store keeps, the pull unit fetches. */
export class DeviceWorld implements World {
  private readonly ports: DeviceWorldPorts;
  private running: readonly DeployedPod[] = [];
  private readonly damage = new Map<string, DamagedImage>();
  /** Images whose mounts are still of an object that another one took the place of. */
  private readonly replaced = new Set<string>();

  constructor(ports: DeviceWorldPorts) {
    this.ports = ports;
  }

  /** The pods that were last made to run: what a report is about. */
  get pods(): readonly DeployedPod[] {
    return this.running;
  }

  /** Objects that were not what was verified when they were last looked at, and have not been replaced since. */
  get damaged(): readonly DamagedImage[] {
    return [...this.damage.values()];
  }

  async reserve(sizes: readonly ImageSize[], state: DeviceState): Promise<void> {
    if (sizes.length === 0) return;
    const { disk, directories, reserveBytes, compression } = this.ports;
    const need = spaceNeeded(sizes, new Set(), compression);
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
    const stored = await this.ports.pull(image, onProgress, signal);
    await this.tookPlaceOf(image.id);
    return stored;
  }

  /** An object is new: what was wrong with the one before is past, and what is mounted of that must go. */
  private async tookPlaceOf(id: string): Promise<void> {
    this.damage.delete(id);
    const { activeState } = await this.ports.systemd.status(mountUnit(id, this.ports).name);
    if (activeState === 'active') this.replaced.add(id);
  }

  async intact(object: StoredObject): Promise<boolean> {
    const refusal = await this.ports.store.verifyCheaply(object);
    if (refusal === undefined) {
      this.damage.delete(object.id);
      return true;
    }
    const { id, name } = object;
    // At the same fault the journal is told once, however often it is looked at.
    if (this.damage.get(id)?.message !== refusal.message)
      this.ports.journal.log('error', refusal.message, { WHERRY_CODE: refusal.code });
    this.damage.set(id, { imageId: id, name, message: refusal.message });
    return false;
  }

  renderings(desired: DesiredState, images: readonly StoredImage[]): readonly Rendering[] {
    return renderingsOf(desired, images);
  }

  async render(rendering: Rendering, signal: AbortSignal): Promise<StoredTree> {
    try {
      for (const id of rendering.imageIds) await this.mountImage(id);
      const tree = await this.ports.render(rendering, signal);
      await this.tookPlaceOf(tree.id);
      return tree;
    } finally {
      // The images were mounted to be read; what runs keeps its own.
      await this.removeStrays();
    }
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
    const listed = appImages(desired, images);
    for (const pod of desired.pods) {
      const manifest = parsePodManifest(pod.manifest);
      const needed = new Map<string, PodImage>();
      for (const app of manifest.apps) {
        const image = imageOfApp(app, pod.name, listed);
        const { manifest: imageManifest } = image;
        const apps = [app.app, imageManifest.app].filter((candidate) => candidate !== undefined);
        const { layers } = appTree(image, listed);
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
    await this.leaveReplaced(pods);
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

  async renew(pods: readonly DeployedPod[], imageIds: readonly string[], signal: AbortSignal): Promise<void> {
    for (const id of imageIds) this.replaced.add(id);
    await this.converge(pods, signal);
  }

  /** Takes what runs from a replaced object off it: its mount is made anew when it is needed next. */
  private async leaveReplaced(pods: readonly DeployedPod[]): Promise<void> {
    const { systemd, journal } = this.ports;
    for (const id of this.replaced) {
      const { name: mount } = mountUnit(id, this.ports);
      for (const pod of pods.filter(({ mounts }) => mounts.includes(mount))) {
        journal.log('notice', `pod ${pod.name} is started anew from an image that was replaced`);
        await Promise.all(pod.services.map(({ unit }) => systemd.stop(unit)));
      }
      await systemd.stop(mount).catch(() => undefined); // it was never loaded
      await systemd.resetFailed(mount);
      this.replaced.delete(id);
    }
  }

  /** Looks cheaply at every object that a deployment needs; what is wrong is told and stands in `damaged`. */
  async checkObjects(state: DeviceState): Promise<void> {
    const referenced = referencedObjects(state);
    for (const object of [...state.images, ...(state.trees ?? [])]) {
      if (referenced.has(object.id)) await this.intact(object);
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
    // systemd keeps a failed unit until it is reset, even without its file.
    const kept = new Set(this.running.flatMap((pod) => pod.services.map(({ unit }) => unit)));
    for (const { unit } of pods.flatMap((pod) => pod.services)) {
      if (!kept.has(unit)) await systemd.resetFailed(unit);
    }
    const mounted = new Set(this.running.flatMap((pod) => pod.mounts));
    for (const mount of pods.flatMap((pod) => pod.mounts)) {
      if (mounted.has(mount)) continue;
      await systemd.stop(mount).catch(() => undefined); // it was never mounted
      await systemd.resetFailed(mount);
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
    const { removed, freedBytes } = await collect(disk, directories, rootsOf(state, this.running));
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

  /** Mounts an image, or a rendered tree, through systemd and returns its root file system. */
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
