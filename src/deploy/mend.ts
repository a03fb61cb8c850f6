import type { Clock } from '../ports/index.ts';
import type { DesiredState } from '../trust/index.ts';
import { withImage } from './remembered-images.ts';
import type { StateKeeper, World } from './world.ts';

/**
 * Replaces the objects of the running version that are no longer what was verified, and starts anew what ran from them. This is
 * no deployment: version, pods and answer stay. `desired` is the command of the running version, told again; it has the addresses.
 *
 * @returns names of the images that were replaced; none when all are whole, or when another version runs or is on its way
 * @throws Refusal as a pull does, or `activation-failed`; what was replaced until then stays so
 */
export async function mendImages(
  desired: DesiredState,
  keeper: StateKeeper,
  world: World,
  signal: AbortSignal,
  clock: Pick<Clock, 'nowMs'>,
): Promise<readonly string[]> {
  const { current, pending } = keeper.state;
  if (current?.version !== desired.version || pending !== undefined) return [];
  const damaged = [];
  for (const image of desired.images) {
    const stored = keeper.state.images.find(({ id }) => id === image.id);
    if (stored === undefined || !(await world.intact(stored))) damaged.push(image);
  }
  if (damaged.length === 0) return [];
  await world.reserve(damaged, keeper.state);
  for (const image of damaged) {
    signal.throwIfAborted();
    const stored = await world.pull(image, () => undefined, signal);
    await keeper.save(withImage(keeper.state, stored, Math.floor(clock.nowMs() / 1000)));
  }
  signal.throwIfAborted();
  await world.renew(
    current.pods,
    damaged.map(({ id }) => id),
    signal,
  );
  return damaged.map(({ name }) => name);
}
