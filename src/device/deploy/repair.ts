import type { Clock } from '../../core/ports/index.ts';
import type { StoredImage, StoredTree } from '../store/index.ts';
import { type DesiredState, groupOf } from '../../wire/trust/index.ts';
import { activatePods } from './activate.ts';
import { withImage, withTree } from './remembered-images.ts';
import type { DeployedPod } from './state.ts';
import type { StateKeeper, World } from './world.ts';

/**
 * Replaces the damaged objects and files of the running version, restarts the pods that use such
 * an object, and starts those that could not start. This is not a deployment: version, pods and
 * outcome stay. `desired` is the command of the running version, received again; it contains the
 * addresses of the images and the manifests of the pods.
 *
 * @returns what was replaced, in words: names of images, and pods; none when nothing is damaged, or
 *   when another version runs or is being deployed
 * @throws Refusal as a pull or a staging does, or `activation-failed`; objects that were replaced
 *   before stay replaced
 */
export async function repairVersion(
  desired: DesiredState,
  keeper: StateKeeper,
  world: World,
  signal: AbortSignal,
  clock: Pick<Clock, 'nowMs'>,
): Promise<readonly string[]> {
  const { current, pending } = keeper.state;
  if (current?.version !== desired.version || current.group !== groupOf(desired.target)) return [];
  if (pending !== undefined) return [];
  const damaged = [];
  for (const image of desired.images) {
    const stored = keeper.state.images.find(({ id }) => id === image.id);
    if (stored === undefined || !(await world.intact(stored))) damaged.push(image);
  }
  if (damaged.length > 0) await world.reserve(damaged, keeper.state);
  for (const image of damaged) {
    signal.throwIfAborted();
    const stored = await world.pull(image, () => undefined, signal);
    await keeper.save(withImage(keeper.state, stored, Math.floor(clock.nowMs() / 1000)));
  }
  const rendered = await repairTrees(desired, keeper, world, signal);
  const damagedPods = await world.damagedPods();
  const repaired = [
    ...[...damaged, ...rendered].map(({ name }) => name),
    ...damagedPods.map((name) => `files of pod ${name}`),
  ];
  if (repaired.length === 0) return [];
  signal.throwIfAborted();
  const pods = damagedPods.length === 0 ? current.pods : await stageAgain(desired, keeper, world);
  await activatePods(world, pods, signal, () => undefined);
  return [...new Set(repaired)];
}

/**
 * Writes the files of the pods again. A newer wherry may compile other units than it finds: these
 * are then the pods of the version.
 */
async function stageAgain(
  desired: DesiredState,
  keeper: StateKeeper,
  world: World,
): Promise<readonly DeployedPod[]> {
  const pods = await world.stage(desired, imagesOf(desired, keeper));
  await world.enable(pods);
  const { current } = keeper.state;
  if (current !== undefined) await keeper.save({ ...keeper.state, current: { ...current, pods } });
  return pods;
}

function imagesOf({ images }: DesiredState, keeper: StateKeeper): readonly StoredImage[] {
  return keeper.state.images.filter(({ id }) => images.some((image) => image.id === id));
}

/** Renders the damaged trees of the running version again. Its images are repaired by now. */
async function repairTrees(
  desired: DesiredState,
  keeper: StateKeeper,
  world: World,
  signal: AbortSignal,
): Promise<readonly StoredTree[]> {
  const images = imagesOf(desired, keeper);
  const made: StoredTree[] = [];
  for (const rendering of world.renderings(desired, images)) {
    const stored = keeper.state.trees?.find(({ id }) => id === rendering.id);
    if (stored !== undefined && (await world.intact(stored))) continue;
    signal.throwIfAborted();
    await world.reserve([rendering], keeper.state);
    const tree = await world.render(rendering, signal);
    await keeper.save(withTree(keeper.state, tree, []));
    made.push(tree);
  }
  return made;
}
