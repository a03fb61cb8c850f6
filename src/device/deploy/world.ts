import type { DeploymentReport } from '../../wire/report/index.ts';
import type { ImageSize, StoredImage, StoredObject, StoredTree } from '../store/index.ts';
import type { DesiredImage, DesiredState } from '../../wire/trust/index.ts';
import type { LoadedUnit, ReplacedObject, Step } from './plan.ts';
import type { Rendering } from '../jobs/render/index.ts';
import type { DeployedPod, DeviceState, PendingDeployment } from './state.ts';

export interface ProbationTerms {
  readonly seconds: number;
  /**
   * The window in which the session reconnects after a loss of the broker; absent when a loss is
   * not judged.
   */
  readonly reconnectWindowMs?: number;
  /**
   * Timers of scheduled pods that the deployment did not touch; absent when there are none. The
   * result of their last run is not a result of this version.
   */
  readonly unchanged?: readonly string[];
}

/**
 * What a deployment does to the device. `device/world` implements it with systemd, the disk and the
 * pull unit; the tests with a model that can be killed at any call.
 */
export interface World {
  /**
   * Ensures that there is room for images and rendered trees besides the stored objects, and
   * collects garbage if there is not. Refuses with `no-space` before a byte is downloaded or
   * written.
   */
  reserve(sizes: readonly ImageSize[], state: DeviceState): Promise<void>;
  /**
   * Downloads, verifies and commits one image. Refuses with the codes of the image and transport
   * classes.
   */
  pull(
    image: DesiredImage,
    onProgress: (receivedBytes: number) => void,
    signal: AbortSignal,
  ): Promise<StoredImage>;
  /** Whether a stored object is undamaged, by a cheap check. */
  intact(object: StoredObject): Promise<boolean>;
  /** Names of adopted pods with files that are missing or damaged; `stage` writes them again. */
  damagedPods(): Promise<readonly string[]>;
  /**
   * The trees that must be rendered for the apps of `desired`, each once; none where layers
   * suffice. Refuses with `image-dependency-missing`, `image-dependency-invalid` and the pod class.
   */
  renderings(desired: DesiredState, images: readonly StoredImage[]): readonly Rendering[];
  /**
   * Renders and commits one tree of stored images. Refuses with codes of the image class and
   * `no-space`.
   */
  render(rendering: Rendering, signal: AbortSignal): Promise<StoredTree>;
  /**
   * Compiles the set and writes its bundles and units durably; starts nothing. Its trees are
   * rendered. Refuses with the pod class.
   *
   * @param isTouched whether other pods than the committed ones may run. Then it is not judged
   *   whether host ports and addresses are free: the pods that have them may be those of the set
   */
  stage(
    desired: DesiredState,
    images: readonly StoredImage[],
    isTouched?: boolean,
  ): Promise<readonly DeployedPod[]>;
  /** Removes everything that neither the current, the previous nor the pending deployment needs. */
  collect(state: DeviceState): Promise<void>;
  /** Why the activation of a deployment is held now, in words; undefined when it is not. */
  whyWait(pending: PendingDeployment): Promise<string | undefined>;
  /** Resolves when it is time to call `whyWait` again. */
  untilNextLook(signal: AbortSignal): Promise<void>;
  /** Whether the device is connected to its broker. */
  connected(): boolean;
  /** The services, networks and slices of pods that systemd has loaded. */
  loaded(): Promise<readonly LoadedUnit[]>;
  /**
   * Objects that were replaced on disk while the old one is still mounted; an `unmount` step takes
   * one off the list.
   */
  replaced(): readonly ReplacedObject[];
  /**
   * Does one step of a plan. Refuses with `activation-failed`. An abort of `signal` ends the wait
   * for an app, with its reason; the start is requested in any case.
   */
  perform(step: Step, signal?: AbortSignal): Promise<void>;
  /** Waits until the set has been healthy for its probation. Refuses with `probation-failed`. */
  probation(pods: readonly DeployedPod[], terms: ProbationTerms, signal: AbortSignal): Promise<void>;
  /** Makes `pods` the set that starts at boot: one atomic replacement. */
  enable(pods: readonly DeployedPod[]): Promise<void>;
  /** Removes the units of `pods`, which have been stopped. */
  forget(pods: readonly DeployedPod[]): Promise<void>;
}

/** The state and its storage. `save` resolves when the state is on the disk. */
export interface StateKeeper {
  readonly state: DeviceState;
  save(state: DeviceState): Promise<void>;
}

/** Called at each change of a deployment; must not throw. */
export type DeploymentObserver = (report: DeploymentReport) => void;
