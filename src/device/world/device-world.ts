import {
  type DeployedPod,
  type DeviceState,
  type LoadedUnit,
  type PendingDeployment,
  type ProbationTerms,
  type ReplacedObject,
  restorePods,
  rootsOf,
  type Step,
  unitsOfService,
  type World,
} from '../deploy/index.ts';
import type { Rendering } from '../jobs/render/index.ts';
import type { NetworkFacts } from '../network/index.ts';
import type { HostFacts } from '../pod/index.ts';
import type { Clock, Journal } from '../../core/ports/index.ts';
import { isRefusal, reasonOf } from '../../core/refusal/index.ts';
import type { DamagedImage } from '../../wire/report/index.ts';
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
import type { Systemd } from '../systemd/index.ts';
import type { DesiredImage, DesiredState } from '../../wire/trust/index.ts';
import { renderingsOf } from './app-trees.ts';
import type { LastOutput } from './last-output.ts';
import type { PodFiles } from './pod-files.ts';
import type { PodWatch } from './pod-watch.ts';
import { ImageMounts } from './image-mounts.ts';
import { type DeviceFacts, stagePods } from './staging.ts';
import { StepRunner } from './steps.ts';
import { StoredObjects } from './stored-objects.ts';
import { type ProbationBroker, watchProbation } from './watch-probation.ts';

/** How long until a removed lock or an approval is noticed. */
const lookEveryMs = 10_000;

export interface DeviceWorldPorts {
  readonly systemd: Systemd;
  readonly disk: Disk;
  readonly store: ImageStore;
  readonly clock: Clock;
  readonly journal: Journal;
  readonly watch: PodWatch;
  readonly files: PodFiles;
  readonly directories: HostFacts['directories'] & { readonly partial: string; readonly metadata: string };
  readonly host: DeviceFacts;
  /** Networks of the device, as they are now. */
  readonly networks: () => Promise<NetworkFacts>;
  /** Returns the key of the metadata service, which is made if missing. */
  readonly metadataKey: () => Promise<Uint8Array>;
  /** Values of the `arch` label that this device can run, best first. */
  readonly architectures: readonly string[];
  /**
   * Digests of values that are sealed for a version that is not saved yet: they are not collected.
   */
  readonly unsavedSecrets?: Iterable<string>;
  readonly reserveBytes: number;
  readonly compression: 'none' | 'lz4';
  /** Pulls one image in the pull unit. */
  readonly pull: (
    image: DesiredImage,
    onProgress: (receivedBytes: number) => void,
    signal: AbortSignal,
  ) => Promise<StoredImage>;
  /** Why the activation of a deployment is held; see `World.whyWait`. */
  readonly whyWait: (pending: PendingDeployment) => Promise<string | undefined>;
  readonly broker: ProbationBroker;
  /** Absent: messages quote no output of apps. */
  readonly lastOutput?: LastOutput;
  /** Renders one tree, whose images are mounted, in the rendering unit. */
  readonly render: (rendering: Rendering, signal: AbortSignal) => Promise<StoredTree>;
}

/** The device as a deployment acts on it, through systemd, the store and the pull unit. */
export class DeviceWorld implements World {
  private readonly ports: DeviceWorldPorts;
  private readonly mounts: ImageMounts;
  private readonly objects: StoredObjects;
  private readonly steps: StepRunner;
  private collecting: Promise<void> = Promise.resolve();
  /** The last fault of the files of a pod, by its name. */
  private readonly faults = new Map<string, string>();

  constructor(ports: DeviceWorldPorts) {
    this.ports = ports;
    this.mounts = new ImageMounts(ports);
    this.objects = new StoredObjects({ ...ports, mountOf: (id) => this.mounts.unitOf(id) });
    this.steps = new StepRunner({ ...ports, objects: this.objects });
  }

  /** The pods that were adopted last, which reports describe. */
  get pods(): readonly DeployedPod[] {
    return this.steps.pods;
  }

  /** Objects that were damaged at their last check and have not been replaced since. */
  get damaged(): readonly DamagedImage[] {
    return this.objects.damaged;
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
    await this.objects.stored(image.id);
    return stored;
  }

  async intact(object: StoredObject): Promise<boolean> {
    return await this.objects.intact(object);
  }

  async damagedPods(): Promise<readonly string[]> {
    const { files, journal } = this.ports;
    const names: string[] = [];
    for (const pod of this.pods) {
      const [first, ...others] = await files.damaged(pod);
      if (first === undefined) continue;
      names.push(pod.name);
      const more = others.length === 0 ? 'is' : `and ${others.length} more are`;
      const fault = `pod ${pod.name}: ${first} ${more} missing or damaged; written again when the broker sends the command of the running version; check the disk`;
      // The same fault is logged only once.
      if (this.faults.get(pod.name) !== fault) journal.log('error', fault, { WHERRY_CODE: 'disk-failed' });
      this.faults.set(pod.name, fault);
    }
    return names;
  }

  renderings(desired: DesiredState, images: readonly StoredImage[]): readonly Rendering[] {
    return renderingsOf(desired, images);
  }

  async render(rendering: Rendering, signal: AbortSignal): Promise<StoredTree> {
    try {
      for (const id of rendering.imageIds) await this.mounts.mount(id);
      const tree = await this.ports.render(rendering, signal);
      await this.objects.stored(tree.id);
      return tree;
    } finally {
      // The images were mounted to be read. Mounts of running pods stay.
      await this.mounts.removeStrays(this.pods);
    }
  }

  async stage(
    desired: DesiredState,
    images: readonly StoredImage[],
    isTouched = false,
  ): Promise<readonly DeployedPod[]> {
    await this.collecting; // it may have begun while the deployment waited, and would remove staged files
    try {
      const more = { mounts: this.mounts, running: this.pods, isTouched };
      return await stagePods(desired, images, { ...this.ports, ...more });
    } catch (error) {
      // Images were mounted to be inspected.
      await this.mounts.removeStrays(this.pods);
      throw error;
    }
  }

  async loaded(): Promise<readonly LoadedUnit[]> {
    // Without its file, systemd would stop a unit without the commands that the file has for that.
    await this.repair();
    return await this.steps.loaded();
  }

  replaced(): readonly ReplacedObject[] {
    return this.objects.replaced;
  }

  async perform(step: Step, signal?: AbortSignal): Promise<void> {
    await this.steps.perform(step, signal);
  }

  async whyWait(pending: PendingDeployment): Promise<string | undefined> {
    return await this.ports.whyWait(pending);
  }

  async untilNextLook(signal: AbortSignal): Promise<void> {
    await this.ports.clock.sleep(lookEveryMs, signal);
  }

  connected(): boolean {
    return this.ports.broker.connected();
  }

  async probation(pods: readonly DeployedPod[], terms: ProbationTerms, signal: AbortSignal): Promise<void> {
    await watchProbation(pods, terms, this.ports, signal);
  }

  /**
   * Checks every object that a deployment needs, cheaply, and the files of the pods. Faults are
   * logged; those of objects are in `damaged`.
   */
  async check(state: DeviceState): Promise<void> {
    await this.objects.check(state);
    // A pending deployment writes files again.
    if (state.pending === undefined) await this.damagedPods();
  }

  async enable(pods: readonly DeployedPod[]): Promise<void> {
    const { files, systemd, journal } = this.ports;
    await files.enable(pods);
    // After the target, and not durably: at boot only the target decides. The next start of wherryd
    // restores a link that was lost in a power cut.
    const services = pods.flatMap((pod) => pod.services.map(({ unit }) => unit));
    await systemd.enable(services).catch((error: unknown) => {
      journal.log('warning', `apps that wait for a disk will not start when it is mounted: ${String(error)}`);
    });
  }

  async forget(pods: readonly DeployedPod[]): Promise<void> {
    const { files, systemd } = this.ports;
    const timers = new Set(this.pods.map(({ timer }) => timer));
    for (const { timer } of pods) {
      if (timer !== undefined && !timers.has(timer)) await systemd.forgetRuns(timer);
    }
    await files.remove(pods, this.pods);
    // systemd keeps a failed unit until it is reset, even without its file.
    const unitsOf = (some: readonly DeployedPod[]) =>
      some.flatMap((pod) => pod.services.flatMap(unitsOfService));
    const kept = new Set(unitsOf(this.pods));
    for (const unit of unitsOf(pods)) {
      if (!kept.has(unit)) await systemd.resetFailed(unit);
    }
    const mounted = new Set(this.pods.flatMap((pod) => pod.mounts));
    for (const mount of pods.flatMap((pod) => pod.mounts)) {
      if (mounted.has(mount)) continue;
      await systemd.stop(mount).catch(() => undefined); // it was never mounted
      await systemd.resetFailed(mount);
    }
    for (const { uuid } of pods) {
      if (!this.pods.some((pod) => pod.uuid === uuid)) await files.removeFailure(uuid);
    }
    await this.mounts.unloadForgotten(this.pods);
    await files.removeMountPoints((id) => mounted.has(this.mounts.unitOf(id)));
    await files.removeVolumePoints(mounted);
    await files.removeSecrets(this.pods);
  }

  /**
   * Repairs the device at the start of wherryd: restores unit files of the committed pods, which
   * reports then describe, and has them start at boot unless a deployment is pending. What the disk
   * prevents is logged: wherryd must start, to report and to take the next command.
   */
  async reconcile(state: DeviceState): Promise<void> {
    const pods = state.current?.pods ?? [];
    this.steps.adopt(pods);
    await this.repair();
    // A pending deployment decides which pods run.
    if (state.pending !== undefined) return;
    await this.enable(pods).catch(this.unrepaired('pods may not start at boot'));
  }

  private unrepaired(what: string): (error: unknown) => void {
    return (error) =>
      this.ports.journal.log('error', `${what}: ${reasonOf(error)}`, { WHERRY_CODE: 'disk-failed' });
  }

  /** Restores unit files of the adopted pods that are missing or changed. */
  private async repair(): Promise<void> {
    const { files, journal, systemd } = this.ports;
    let repaired = false;
    for (const pod of this.pods) {
      const done = await files
        .repair(pod)
        .catch(this.unrepaired(`units of pod ${pod.name} were not put back`));
      repaired = done === true || repaired;
    }
    if (!repaired) return;
    journal.log('warning', 'unit files of the running deployment were missing or changed and were put back');
    await systemd.reload();
  }

  /**
   * Starts the committed pods that do not run, as far as possible, and stops and removes what is in
   * no set.
   *
   * @throws the reason of `signal`
   */
  async startPods(state: DeviceState, signal: AbortSignal): Promise<void> {
    const { journal } = this.ports;
    const pods = state.current?.pods ?? [];
    for (const { code, message } of await restorePods(this, pods, () => undefined, signal)) {
      journal.log('error', message, { WHERRY_CODE: code });
    }
    // wherryd may have ended after it saved the end of a deployment and before it removed the
    // units.
    await this.mounts.removeStrays(pods).catch((error: unknown) => {
      journal.log('warning', `units that no pod needs could not be removed: ${String(error)}`);
    });
  }

  /** Removes everything that neither the current, the previous nor the pending deployment needs. */
  async collect(state: DeviceState): Promise<void> {
    const work = this.collectNow(state);
    this.collecting = work.catch(() => undefined);
    await work;
  }

  private async collectNow(state: DeviceState): Promise<void> {
    const { disk, directories, journal, unsavedSecrets = [] } = this.ports;
    await this.mounts.removeStrays(this.pods); // first: removing a mounted object frees no space
    const roots = rootsOf(state, this.pods);
    const secretDigests = [...roots.secretDigests, ...unsavedSecrets];
    const { removed, freedBytes } = await collect(disk, directories, { ...roots, secretDigests });
    if (removed.length > 0) {
      journal.log('info', `collected ${removed.length} files and directories, ${freedBytes} bytes`);
    }
  }
}
