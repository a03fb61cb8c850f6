import type { StoredImage, StoredTree } from '../store/index.ts';
import type { DeviceState } from './state.ts';
import { newestIssued } from './targets.ts';

/**
 * How many images that no deployment refers to are remembered, so that the images of a refused
 * version need not be downloaded again. Bounded, because the state is read whole and a device runs
 * for years.
 */
export const maxUnreferenced = 32;

/** Every image that a deployment refers to. */
function referencedImages(state: DeviceState): ReadonlySet<string> {
  return new Set([
    ...(state.current?.imageIds ?? []),
    ...(state.previous?.imageIds ?? []),
    ...(state.pending?.desired.images.map(({ id }) => id) ?? []),
  ]);
}

/**
 * Every rendered tree that a deployment refers to. For the pending one, that is every tree of
 * images that it lists: whether it needs the tree is known only once all of them are stored.
 */
function referencedTrees(state: DeviceState): ReadonlySet<string> {
  const pending = new Set<string>(state.pending?.desired.images.map(({ id }) => id));
  const ofPending = (state.trees ?? []).filter(({ imageIds }) => imageIds.every((id) => pending.has(id)));
  return new Set([
    ...(state.current?.treeIds ?? []),
    ...(state.previous?.treeIds ?? []),
    ...ofPending.map(({ id }) => id),
  ]);
}

/** The objects that a deployment refers to: images and rendered trees. */
export function referencedObjects(state: DeviceState): ReadonlySet<string> {
  return new Set([...referencedImages(state), ...referencedTrees(state)]);
}

/**
 * `state` with a tree that was just rendered. Trees that no deployment needs are forgotten, so that
 * their number is bounded.
 * @param needed IDs of the trees of the deployment under way
 */
export function withTree(state: DeviceState, tree: StoredTree, needed: readonly string[]): DeviceState {
  const kept = new Set([...needed, ...(state.current?.treeIds ?? []), ...(state.previous?.treeIds ?? [])]);
  const others = (state.trees ?? []).filter(({ id }) => id !== tree.id && kept.has(id));
  return { ...state, trees: [...others, tree] };
}

/** `state` with an image that was just stored, in place of an earlier entry for it. */
export function withImage(state: DeviceState, image: StoredImage, nowSeconds: number): DeviceState {
  const others = state.images.filter((other) => other.id !== image.id);
  const lastUse = useTime(state, nowSeconds);
  return forgetOldest({ ...state, images: [...others, { ...image, lastUse }] }, lastUse);
}

/** `state` after the set that needed `imageIds` was replaced: their last use is now. */
export function withLastUse(
  state: DeviceState,
  imageIds: readonly string[],
  nowSeconds: number,
): DeviceState {
  const lastUse = useTime(state, nowSeconds);
  const images = state.images.map((image) => (imageIds.includes(image.id) ? { ...image, lastUse } : image));
  return forgetOldest({ ...state, images }, lastUse);
}

/** At least the time at which the newest command was issued, for a device without a clock. */
function useTime(state: DeviceState, nowSeconds: number): number {
  return Math.max(0, nowSeconds, newestIssued(state));
}

/** A use in the future was marked by a clock that was ahead, and counts as the oldest. */
function forgetOldest(state: DeviceState, now: number): DeviceState {
  const referenced = referencedImages(state);
  const loose = state.images.filter(({ id }) => !referenced.has(id));
  if (loose.length <= maxUnreferenced) return state;
  const usedAt = ({ lastUse = 0 }: StoredImage): number => (lastUse > now ? 0 : lastUse);
  const oldestFirst = loose.toSorted((a, b) => usedAt(a) - usedAt(b));
  const forgotten = new Set(oldestFirst.slice(0, loose.length - maxUnreferenced));
  return { ...state, images: state.images.filter((image) => !forgotten.has(image)) };
}
