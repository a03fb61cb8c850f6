import type { Clock } from '../../core/ports/index.ts';
import type { StoredTree } from '../store/index.ts';
import { type DesiredState, groupOf } from '../../wire/trust/index.ts';
import { activatePods } from './activate.ts';
import { withImage, withTree } from './remembered-images.ts';
import type { StateKeeper, World } from './world.ts';

/**
 * Replaces the damaged objects of the running version, and restarts the pods that use them. This is
 * not a deployment: version, pods and outcome stay. `desired` is the command of the running
 * version, received again; it contains the addresses.
 *
 * @returns names of the images that were replaced; none when none is damaged, or when another
 *   version runs or is being deployed
 * @throws Refusal as a pull does, or `activation-failed`; objects that were replaced before stay
 *   replaced
 */
export async function repairImages(
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
  const repaired = [...damaged, ...rendered];
  if (repaired.length === 0) return [];
  signal.throwIfAborted();
  await activatePods(world, current.pods, signal, () => undefined);
  return [...new Set(repaired.map(({ name }) => name))];
}

/** Renders the damaged trees of the running version again. Its images are repaired by now. */
async function repairTrees(
  desired: DesiredState,
  keeper: StateKeeper,
  world: World,
  signal: AbortSignal,
): Promise<readonly StoredTree[]> {
  const images = keeper.state.images.filter(({ id }) => desired.images.some((image) => image.id === id));
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
