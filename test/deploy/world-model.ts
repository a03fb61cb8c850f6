import type { ImageId } from '../../src/appc/index.ts';
import {
  emptyState,
  type DeployedPod,
  type DeviceState,
  type Rendering,
  type StateKeeper,
  type World,
} from '../../src/deploy/index.ts';
import { podUuid } from '../../src/pod/index.ts';
import { Refusal, type RefusalCode } from '../../src/refusal/index.ts';
import type { ImageSize, StoredImage, StoredObject, StoredTree } from '../../src/store/index.ts';
import type { DesiredImage, DesiredState } from '../../src/trust/index.ts';

/** Thrown where the power goes: everything volatile is lost, everything saved stays. */
export class PowerCut extends Error {}

/** A device in memory: what is running, what starts at boot, what lies on the disk. */
export class WorldModel implements World, StateKeeper {
  state: DeviceState = emptyState;
  running = new Set<string>();
  enabled: readonly DeployedPod[] = [];
  readonly stagedUnits = new Set<string>();
  readonly calls: string[] = [];
  /** Ends the power before the call with this index; the index counts over all calls. */
  cutAt = Number.POSITIVE_INFINITY;
  onCut: () => void = () => undefined;
  /** Told of each call before it has an effect. */
  beforeCall: (call: string) => void = () => undefined;
  refuse: Partial<Record<keyof World, RefusalCode>> = {};
  /** Trees that every deployment needs rendered. */
  needed: readonly Rendering[] = [];
  /** IDs of stored objects that are damaged. */
  readonly damaged = new Set<string>();
  /** What room was asked for. */
  readonly reserved: string[] = [];

  boot(): void {
    this.running = new Set(this.enabled.map((pod) => pod.name));
  }

  save(state: DeviceState): Promise<void> {
    this.note('save');
    this.state = state;
    return Promise.resolve();
  }

  reserve(sizes: readonly ImageSize[]): Promise<void> {
    this.note('reserve');
    this.reserved.push(...sizes.map(({ id }) => id));
    return Promise.resolve();
  }

  pull(image: DesiredImage, onProgress: (receivedBytes: number) => void): Promise<StoredImage> {
    this.note('pull');
    this.damaged.delete(image.id);
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

  renderings(): readonly Rendering[] {
    return this.needed;
  }

  render({ id, name, imageIds }: Rendering): Promise<StoredTree> {
    this.note(`render ${id}`, 'render');
    this.damaged.delete(id);
    return Promise.resolve({ id, name, sizeBytes: 1, sha256: '', imageIds });
  }

  renew(pods: readonly DeployedPod[], imageIds: readonly string[]): Promise<void> {
    this.note(`renew ${pods.map((pod) => pod.name).join(' ')} from ${imageIds.join(' ')}`, 'renew');
    return Promise.resolve();
  }

  stage(desired: DesiredState): Promise<readonly DeployedPod[]> {
    this.note('stage');
    const pods = desired.pods.map((pod) =>
      deployedPod(`${pod.name}-${new TextDecoder().decode(pod.manifest)}`),
    );
    for (const pod of pods) this.stagedUnits.add(pod.name);
    return Promise.resolve(pods);
  }

  converge(pods: readonly DeployedPod[], signal?: AbortSignal): Promise<void> {
    const wanted = new Set(pods.map((pod) => pod.name));
    for (const name of [...this.running]) {
      if (wanted.has(name)) continue;
      this.note(`stop ${name}`);
      this.running.delete(name);
    }
    for (const name of wanted) {
      if (this.running.has(name)) continue;
      signal?.throwIfAborted();
      this.note(`start ${name}`, 'converge');
      this.running.add(name);
    }
    return Promise.resolve();
  }

  probation(): Promise<void> {
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

  private note(call: string, step = call as keyof World): void {
    if (this.calls.length === this.cutAt) {
      this.calls.push('power cut');
      this.onCut();
      throw new PowerCut();
    }
    this.beforeCall(call);
    this.calls.push(call);
    const code = this.refuse[step];
    if (code !== undefined && !(step === 'converge' && /(old|same)$/.test(call))) {
      throw new Refusal(code, `the model refuses ${call}`);
    }
  }
}

export function rendering(id: string, ...imageIds: string[]): Rendering {
  return {
    ...{ id, name: 'example.com/web', steps: [], imageIds: imageIds.map((one) => one as ImageId) },
    ...{ impliesDirectories: [], sizeBytes: 0, tarSizeBytes: 20 },
  };
}

export function deployedPod(name: string): DeployedPod {
  const uuid = podUuid(name, new Uint8Array());
  return { name, uuid, slice: `${name}.slice`, services: [], mounts: [], isolators: [] };
}
