import type { Clock } from '../../core/ports/index.ts';
import { diskRefusal, isRefusal, localErrorOf, Refusal } from '../../core/refusal/index.ts';
import type { ImageSize, StoredImage, TreeId } from '../store/index.ts';
import { type DesiredState, groupOf } from '../../wire/trust/index.ts';
import { activatePods, bringBackPods } from './activate.ts';
import { withImage, withLastUse, withTree } from './remembered-images.ts';
import type { DeployedPod, PendingDeployment } from './state.ts';
import type { DeploymentEnd, DeploymentPhase } from '../../wire/report/index.ts';
import {
  type DeploymentEventName,
  firstPhase,
  isPending,
  nextPhase,
  type PendingPhase,
} from './transitions.ts';
import type { DeploymentObserver, ProbationTerms, StateKeeper, World } from './world.ts';

/**
 * How many times an activation is begun. A device that goes down each time, or whose disk takes no
 * end, returns to the previous set.
 */
const maxActivationAttempts = 3;

/**
 * Aborts a deployment because a newer one was accepted; its message is reported to the operator.
 */
export class Superseded extends Refusal {
  constructor(version: number) {
    super('superseded', `version ${version} replaced it`);
  }
}

/**
 * Runs the pending deployment of `keeper` to its terminal phase. It may be called again after a
 * crash or a power cut at any point: each phase checks the device and does what is missing.
 *
 * `signal` is aborted with a `Superseded` reason when a newer desired state was accepted, with
 * anything else when the daemon ends: then the deployment stays pending and is resumed at the next
 * start.
 */
export async function runDeployment(
  keeper: StateKeeper,
  world: World,
  observe: DeploymentObserver,
  signal: AbortSignal,
  clock: Pick<Clock, 'nowMs'>,
): Promise<void> {
  const pending = keeper.state.pending;
  if (pending === undefined) return;
  await new Run(pending, keeper, world, observe, signal, clock).toEnd();
}

type Terminal = Exclude<DeploymentPhase, PendingPhase>;

class Run {
  private readonly desired: DesiredState;
  private readonly keeper: StateKeeper;
  private readonly world: World;
  private readonly observe: DeploymentObserver;
  private readonly signal: AbortSignal;
  private readonly clock: Pick<Clock, 'nowMs'>;
  // Fetching and staging are repeated after an interruption: both find what is already done.
  private phase: PendingPhase = firstPhase;
  private staged: readonly DeployedPod[] = [];
  private treeIds: readonly TreeId[] = [];
  private outgoing: readonly DeployedPod[] = [];

  constructor(
    pending: PendingDeployment,
    keeper: StateKeeper,
    world: World,
    observe: DeploymentObserver,
    signal: AbortSignal,
    clock: Pick<Clock, 'nowMs'>,
  ) {
    this.desired = pending.desired;
    this.keeper = keeper;
    this.world = world;
    this.observe = observe;
    this.signal = signal;
    this.clock = clock;
  }

  /** Runs the phases in the order of the transition table. */
  async toEnd(): Promise<void> {
    let failure: unknown;
    let phase: DeploymentPhase = this.phase;
    while (isPending(phase)) {
      this.phase = phase;
      // `wait` itself reports what it waits for, if it does.
      if (phase !== 'wait') this.tell();
      let event: DeploymentEventName;
      try {
        event = await this.work[phase]();
      } catch (error) {
        if (this.signal.aborted && !(this.signal.reason instanceof Superseded)) return;
        const what = `version ${this.desired.version} cannot be deployed`;
        failure = isRefusal(error) ? error : (diskRefusal(localErrorOf(error), what) ?? error);
        event = this.eventOf(error);
      }
      phase = nextPhase(phase, event);
    }
    await (phase === 'committed' ? this.leaveOutgoing() : this.end(phase, failure));
  }

  /** The work of each phase. It returns the event of its success. */
  private readonly work: Readonly<Record<PendingPhase, () => Promise<DeploymentEventName>>> = {
    fetch: async () => {
      await this.fetch();
      return 'fetched';
    },
    stage: async () => {
      await this.render();
      this.staged = await this.stage();
      this.signal.throwIfAborted();
      return 'staged';
    },
    wait: async () => await this.waitForActivation(),
    activate: async () => {
      await this.countAttempt();
      await activatePods(this.world, this.staged, this.signal, (step) => this.tell({ step }));
      this.signal.throwIfAborted();
      return 'started';
    },
    probation: async () => {
      await this.world.probation(this.staged, this.probationTerms(), this.signal);
      this.signal.throwIfAborted();
      await this.commit();
      return 'healthy';
    },
  };

  /**
   * An activation that has begun is not held again: pods of the previous set may have been stopped.
   */
  private async waitForActivation(): Promise<DeploymentEventName> {
    let told: string | undefined;
    for (;;) {
      const { pending } = this.keeper.state;
      const why = pending === undefined || this.attempts > 0 ? undefined : await this.world.whyWait(pending);
      this.signal.throwIfAborted();
      if (why === undefined) return told === undefined ? 'open' : 'waited';
      if (why !== told) this.tell({ why });
      told = why;
      await this.world.untilNextLook(this.signal);
    }
  }

  /**
   * If the broker was connected before and is lost now, the new pods may have cut it off. After the
   * loss the session waits for the reconnect window before its first attempt. A reboot changes
   * nothing about this: a technician restarts a device that cannot be reached.
   */
  private probationTerms(): ProbationTerms {
    const { probationSeconds: seconds, brokerLoss, reconnectWindowSeconds } = this.desired.policy;
    const timers = (this.keeper.state.current?.pods ?? []).flatMap(({ timer }) => timer ?? []);
    const terms = { seconds, ...(timers.length === 0 ? {} : { unchanged: timers }) };
    if (brokerLoss === 'ignore' || this.keeper.state.pending?.hadBroker !== true) return terms;
    return { ...terms, reconnectWindowMs: reconnectWindowSeconds * 1000 };
  }

  private eventOf(error: unknown): DeploymentEventName {
    if (error instanceof Superseded) return 'newer';
    return this.attempts > 0 ? 'failed-late' : 'failed';
  }

  /**
   * How many times the activation of this deployment was begun, over all runs. Above 0, pods may
   * have been stopped.
   */
  private get attempts(): number {
    return this.keeper.state.pending?.attempts ?? 0;
  }

  private async countAttempt(): Promise<void> {
    if (this.attempts >= maxActivationAttempts) {
      throw new Refusal(
        'activation-failed',
        `version ${this.desired.version} is given up: its activation was begun ${this.attempts} times and no end was saved, because the device went down or its disk was full or failed`,
      );
    }
    const { pending } = this.keeper.state;
    const hadBroker = pending?.hadBroker === true || this.world.connected();
    await this.keeper.save({
      ...this.keeper.state,
      pending: {
        ...pending,
        desired: this.desired,
        attempts: this.attempts + 1,
        ...(hadBroker ? { hadBroker: true as const } : {}),
      },
    });
  }

  /**
   * Ends a deployment that was not committed. Restores the previous set if pods may have been
   * stopped. The end is reported even if the disk does not take it: the deployment then stays
   * pending on the disk, and the next start of wherryd resumes it.
   */
  private async end(phase: Exclude<Terminal, 'committed'>, error: unknown): Promise<void> {
    const last = {
      ...this.named(),
      phase,
      code: isRefusal(error) ? error.code : ('internal' as const),
      message: error instanceof Error ? error.message : String(error),
    };
    const staged = without(this.staged, this.keeper.state.current?.pods ?? []);
    try {
      if (this.attempts > 0) await this.restoreCurrent();
      const { pending, ...rest } = this.keeper.state;
      await this.keeper.save({ ...rest, last });
    } catch (fault) {
      // After any other error it is not known which pods run.
      if (localErrorOf(fault) !== undefined) await this.forget(staged, last);
      throw fault;
    }
    await this.forget(staged, last);
    if (!isRefusal(error)) throw error;
  }

  /**
   * Removes the units of pods that are no longer needed, and reports the end of the deployment even
   * if that fails.
   */
  private async forget(pods: readonly DeployedPod[], last: DeploymentEnd): Promise<void> {
    try {
      await this.world.forget(pods);
    } finally {
      this.observe(last);
    }
  }

  private async leaveOutgoing(): Promise<void> {
    await this.forget(without(this.outgoing, this.staged), {
      ...this.named(),
      phase: 'committed',
    });
  }

  /**
   * Starts the set that was committed last, now and at boot. An app may need hours to start, so a
   * newer command is not kept waiting for it.
   */
  private async restoreCurrent(): Promise<void> {
    const current = this.keeper.state.current?.pods ?? [];
    try {
      await this.world.enable(current);
    } finally {
      await bringBackPods(this.world, current, this.signal, (step) => this.tell({ step }));
    }
  }

  private async fetch(): Promise<void> {
    const { images } = this.desired;
    const missing = [];
    for (const image of images) {
      const stored = this.keeper.state.images.find((candidate) => candidate.id === image.id);
      if (stored === undefined || !(await this.world.intact(stored))) missing.push(image);
    }
    const trees = missing.length === 0 ? [] : this.announcedTrees();
    await this.world.reserve([...missing, ...trees], this.keeper.state);
    // A download may take hours, and an interrupted activation may have stopped every pod.
    if (missing.length > 0 && this.attempts > 0) await this.restoreCurrent();
    const totalBytes = missing.reduce((sum, image) => sum + image.sizeBytes, 0);
    let doneBytes = 0;
    for (const image of missing) {
      this.signal.throwIfAborted();
      const stored = await this.world.pull(
        image,
        (receivedBytes) => this.tell({ receivedBytes: doneBytes + receivedBytes, totalBytes }),
        this.signal,
      );
      doneBytes += image.sizeBytes;
      this.tell({ receivedBytes: doneBytes, totalBytes });
      await this.keeper.save(withImage(this.keeper.state, stored, this.nowSeconds()));
    }
    this.signal.throwIfAborted();
  }

  /**
   * The sizes that the command announces for trees to render, without those that are stored. The
   * exact sizes are reserved once the manifests are there.
   */
  private announcedTrees(): readonly ImageSize[] {
    const listed = new Set<string>(this.desired.images.map((image) => image.id));
    const trees = (this.keeper.state.trees ?? []).filter(({ imageIds }) =>
      imageIds.every((id) => listed.has(id)),
    );
    return this.desired.images.flatMap(({ id, renderedBytes }) => {
      if (renderedBytes === undefined || trees.some(({ imageIds }) => imageIds.at(-1) === id)) return [];
      return { id: `tree of ${id}`, sizeBytes: 0, tarSizeBytes: renderedBytes };
    });
  }

  /**
   * Renders the trees that layers cannot make, except those that an earlier deployment, or this one
   * before a power cut, has stored.
   */
  private async render(): Promise<void> {
    const renderings = this.world.renderings(this.desired, this.imagesOfDesired());
    this.treeIds = renderings.map(({ id }) => id);
    const missing = [];
    for (const rendering of renderings) {
      const stored = this.keeper.state.trees?.find(({ id }) => id === rendering.id);
      if (stored === undefined || !(await this.world.intact(stored))) missing.push(rendering);
    }
    await this.world.reserve(missing, this.keeper.state);
    if (missing.length > 0 && this.attempts > 0) await this.restoreCurrent();
    for (const rendering of missing) {
      this.signal.throwIfAborted();
      const stored = await this.world.render(rendering, this.signal);
      await this.keeper.save(withTree(this.keeper.state, stored, this.treeIds));
    }
    this.signal.throwIfAborted();
  }

  /** Volumes with a limit need their room now, so garbage must not take it. */
  private async stage(): Promise<readonly DeployedPod[]> {
    const stage = () => this.world.stage(this.desired, this.imagesOfDesired(), this.attempts > 0);
    try {
      return await stage();
    } catch (error) {
      if (!isRefusal(error, 'no-space')) throw error;
      await this.world.collect(this.keeper.state);
      this.signal.throwIfAborted();
      return await stage();
    }
  }

  private async commit(): Promise<void> {
    // From here on a boot starts the new set. A power cut before the next line boots the old set
    // and tries again; one after it boots the new set and finds it pending: it is judged once more
    // and then committed.
    await this.world.enable(this.staged);
    const { current: outgoing, pending, ...rest } = this.keeper.state;
    const last = { ...this.named(), phase: 'committed' as const };
    const next = {
      ...rest,
      current: {
        ...this.named(),
        pods: this.staged,
        imageIds: this.desired.images.map((image) => image.id),
        ...(this.treeIds.length === 0 ? {} : { treeIds: this.treeIds }),
      },
      ...(outgoing === undefined ? {} : { previous: outgoing }),
      last,
    };
    await this.keeper.save(withLastUse(next, outgoing?.imageIds ?? [], this.nowSeconds()));
    this.outgoing = outgoing?.pods ?? [];
  }

  private imagesOfDesired(): StoredImage[] {
    return this.keeper.state.images.filter((stored) =>
      this.desired.images.some((image) => image.id === stored.id),
    );
  }

  private nowSeconds(): number {
    return Math.floor(this.clock.nowMs() / 1000);
  }

  private tell(
    progress: { receivedBytes?: number; totalBytes?: number; step?: string; why?: string } = {},
  ): void {
    this.observe({ ...this.named(), phase: this.phase, ...progress });
  }

  /** The version and its group. */
  private named(): { readonly version: number; readonly group?: string } {
    const { version, target } = this.desired;
    const group = groupOf(target);
    return { version, ...(group === undefined ? {} : { group }) };
  }
}

/** A pod with other values of secrets has another unit of an app, or of a delivery. */
function without(pods: readonly DeployedPod[], others: readonly DeployedPod[]): DeployedPod[] {
  const isSame = (one: DeployedPod, other: DeployedPod): boolean =>
    one.uuid === other.uuid &&
    one.services.every(({ unit, delivery }) =>
      other.services.some((service) => service.unit === unit && service.delivery === delivery),
    );
  return pods.filter((pod) => !others.some((other) => isSame(pod, other)));
}
