import {
  emptyState,
  type DeployedPod,
  type DeviceState,
  type LoadedUnit,
  type ProbationTerms,
  type ReplacedObject,
  type StateKeeper,
  type Step,
  type World,
} from '../../src/device/deploy/index.ts';
import type { Rendering } from '../../src/device/jobs/render/index.ts';
import { podUuid, type DesiredImage, type DesiredState } from '../../src/wire/trust/index.ts';
import { Refusal, type RefusalCode } from '../../src/core/refusal/index.ts';
import type { ImageSize, StoredImage, StoredObject, StoredTree } from '../../src/device/store/index.ts';
import type { ImageId } from '../../src/image/appc/index.ts';
import { imageIdOf, treeIdOf } from '../device/deploy/ids.ts';

/** Thrown at a power cut: everything volatile is lost, everything saved stays. */
export class PowerCut extends Error {}

/** A device in memory: running pods, pods that start at boot, and the content of the disk. */
export class WorldModel implements World, StateKeeper {
  state: DeviceState = emptyState;
  running = new Set<string>();
  enabled: readonly DeployedPod[] = [];
  readonly stagedUnits = new Set<string>();
  readonly calls: string[] = [];
  /** Cuts the power before the call with this index, counted over all calls. */
  cutAt = Number.POSITIVE_INFINITY;
  onCut: () => void = () => undefined;
  /** Called with each call before it has an effect. */
  beforeCall: (call: string) => void = () => undefined;
  refuse: Partial<Record<keyof World | 'start', RefusalCode>> = {};
  /** A call that is refused with `activation-failed`. */
  refuseCall = '';
  /** Trees that every deployment needs rendered. */
  needed: readonly Rendering[] = [];
  /** IDs of stored objects that are damaged. */
  readonly damaged = new Set<string>();
  /** IDs of objects that were replaced while the old one is mounted. */
  private readonly outdated = new Set<string>();
  /** The requested space. */
  readonly reserved: string[] = [];

  boot(): void {
    this.running = new Set(this.enabled.map((pod) => pod.name));
  }

  save(state: DeviceState): Promise<void> {
    this.note('save');
    this.state = state;
    return Promise.resolve();
  }

  async update(change: (state: DeviceState) => DeviceState): Promise<void> {
    await this.save(change(this.state));
  }

  reserve(sizes: readonly ImageSize[]): Promise<void> {
    this.note('reserve');
    this.reserved.push(...sizes.map(({ id }) => id));
    return Promise.resolve();
  }

  pull(image: DesiredImage, onProgress: (receivedBytes: number) => void): Promise<StoredImage> {
    this.note('pull');
    if (this.damaged.delete(image.id)) this.outdated.add(image.id);
    onProgress(image.sizeBytes);
    return Promise.resolve({
      id: image.id,
      name: image.name,
      sizeBytes: image.sizeBytes,
      sha256: '',
      manifest: new Uint8Array(),
    });
  }

  intact({ id }: StoredObject): Promise<boolean> {
    return Promise.resolve(!this.damaged.has(id));
  }

  /** Names of pods with damaged files. */
  readonly damagedFiles = new Set<string>();

  damagedPods(): Promise<readonly string[]> {
    return Promise.resolve([...this.damagedFiles]);
  }

  renderings(): readonly Rendering[] {
    return this.needed;
  }

  render({ id, name, imageIds }: Rendering): Promise<StoredTree> {
    this.note(`render ${id}`, 'render');
    if (this.damaged.delete(id)) this.outdated.add(id);
    return Promise.resolve({ id, name, sizeBytes: 1, sha256: '', imageIds });
  }

  /** Of each staging: whether other pods than the committed ones may run. */
  readonly touched: boolean[] = [];

  stage(
    desired: DesiredState,
    ...[, isTouched = false]: readonly [images?: readonly StoredImage[], isTouched?: boolean]
  ): Promise<readonly DeployedPod[]> {
    this.note('stage');
    this.touched.push(isTouched);
    const pods = desired.pods.map((pod) =>
      deployedPod(
        `${pod.name}-${new TextDecoder().decode(pod.manifest)}`,
        desired.images.map(({ id }) => id),
      ),
    );
    for (const pod of pods) this.stagedUnits.add(pod.name);
    this.damagedFiles.clear();
    return Promise.resolve(pods);
  }

  collect(): Promise<void> {
    this.note('collect');
    return Promise.resolve();
  }

  /** The reasons for which the activation waits, one after the other. */
  waits: string[] = [];
  hasBroker = true;
  probationTerms: ProbationTerms | undefined;

  whyWait(): Promise<string | undefined> {
    return Promise.resolve(this.waits.shift());
  }

  untilNextLook(signal: AbortSignal): Promise<void> {
    this.note('wait', 'untilNextLook');
    signal.throwIfAborted();
    return Promise.resolve();
  }

  connected(): boolean {
    return this.hasBroker;
  }

  loaded(): Promise<readonly LoadedUnit[]> {
    const units = [...this.running].flatMap((name) => [`${name}.service`, `${name}.slice`]);
    return Promise.resolve(units.map((name) => ({ name, activeState: 'active' })));
  }

  replaced(): readonly ReplacedObject[] {
    return [...this.outdated].map((id) => ({ id, mount: `${id}.mount` }));
  }

  /** Pods that never finish their start. Only an abort ends the wait for them. */
  readonly hanging = new Set<string>();

  async perform(step: Step, signal?: AbortSignal): Promise<void> {
    switch (step.do) {
      case 'adopt':
        this.note('adopt');
        break;
      case 'unmount':
        this.note(`unmount ${step.id}`);
        this.outdated.delete(step.id);
        break;
      case 'start':
        this.note(`start ${step.pod}`, 'start');
        this.running.add(step.pod);
        if (this.hanging.has(step.pod) && signal?.aborted !== true)
          await new Promise((resolve) => signal?.addEventListener('abort', resolve));
        signal?.throwIfAborted();
        break;
      case 'schedule':
        this.note(`schedule ${step.pod}`);
        this.running.add(step.pod);
        break;
      case 'stop':
        // systemd stops them all at once, so a power cut may happen when some have ended.
        for (const unit of step.units) {
          const name = unit.replace(/\.(service|slice)$/, '');
          this.note(unit.endsWith('.slice') ? `stop slice ${name}` : `stop ${name}`);
          this.running.delete(name);
        }
    }
  }

  probation(_pods: readonly DeployedPod[], terms: ProbationTerms): Promise<void> {
    this.probationTerms = terms;
    this.note('probation');
    return Promise.resolve();
  }

  enable(pods: readonly DeployedPod[]): Promise<void> {
    this.note('enable');
    this.enabled = pods;
    return Promise.resolve();
  }

  forget(pods: readonly DeployedPod[]): Promise<void> {
    this.note('forget');
    for (const pod of pods) {
      if (this.running.has(pod.name)) throw new Error(`${pod.name} still runs`);
      this.stagedUnits.delete(pod.name);
    }
    return Promise.resolve();
  }

  private note(call: string, step = call as keyof WorldModel['refuse']): void {
    if (this.calls.length === this.cutAt) {
      this.calls.push('power cut');
      this.onCut();
      throw new PowerCut();
    }
    this.beforeCall(call);
    this.calls.push(call);
    const code = call === this.refuseCall ? 'activation-failed' : this.refuse[step];
    if (code !== undefined && !(step === 'start' && /(old|same)$/.test(call))) {
      throw new Refusal(code, `the model refuses ${call}`);
    }
  }
}

/** The rendering of images, with words as IDs. */
export function rendering(word: string, ...images: string[]): Rendering {
  return {
    ...{ id: treeIdOf(word), name: 'example.com/web', steps: [], imageIds: images.map(imageIdOf) },
    ...{ impliesDirectories: [], sizeBytes: 0, tarSizeBytes: 20 },
  };
}

/** A pod of one app whose unit has its name. */
export function deployedPod(name: string, imageIds: readonly string[] = []): DeployedPod {
  const uuid = podUuid(name, new Uint8Array());
  const services = [
    { app: 'main', unit: `${name}.service`, imageId: (imageIds[0] ?? imageIdOf(name)) as ImageId },
  ];
  return {
    name,
    uuid,
    slice: `${name}.slice`,
    services,
    mounts: imageIds.map((id) => `${id}.mount`),
    isolators: [],
  };
}
