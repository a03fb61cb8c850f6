import type { StoredImage } from '../store/index.ts';
import type { DeviceState } from './state.ts';

/**
 * Images that no deployment refers to and that are remembered all the same: what a refused version brought need not come again.
 * Bounded, because the state is read whole and a device lives for years.
 */
export const maxUnreferenced = 32;

/** Every image that a deployment refers to, and whose. */
export function referencedImages(state: DeviceState): ReadonlySet<string> {
  return new Set([
    ...(state.current?.imageIds ?? []),
    ...(state.previous?.imageIds ?? []),
    ...(state.pending?.desired.images.map(({ id }) => id) ?? []),
  ]);
}

/** `state` with an image that was just stored, in place of what was known of it before. */
export function withImage(state: DeviceState, image: StoredImage, nowSeconds: number): DeviceState {
  const others = state.images.filter((other) => other.id !== image.id);
  return forgetOldest({ ...state, images: [...others, { ...image, lastUse: useTime(state, nowSeconds) }] });
}

/** `state` after the set that needed `imageIds` was replaced: their last use is now. */
export function withLastUse(
  state: DeviceState,
  imageIds: readonly string[],
  nowSeconds: number,
): DeviceState {
  const lastUse = useTime(state, nowSeconds);
  const images = state.images.map((image) => (imageIds.includes(image.id) ? { ...image, lastUse } : image));
  return forgetOldest({ ...state, images });
}

/** A device without a clock knows at least that the newest command was issued. */
function useTime(state: DeviceState, nowSeconds: number): number {
  return Math.max(0, nowSeconds, state.trusted.issued);
}

function forgetOldest(state: DeviceState): DeviceState {
  const referenced = referencedImages(state);
  const loose = state.images.filter(({ id }) => !referenced.has(id));
  if (loose.length <= maxUnreferenced) return state;
  const oldestFirst = loose.toSorted((a, b) => (a.lastUse ?? 0) - (b.lastUse ?? 0));
  const forgotten = new Set(oldestFirst.slice(0, loose.length - maxUnreferenced));
  return { ...state, images: state.images.filter((image) => !forgotten.has(image)) };
}
