/**
 * What a device keeps: image objects, the two slots of its state, the keys that it trusts, and the removal of what nothing needs. All of it
 * holds over a power cut at any instant. The disk is passed in; what a state or a manifest says is not known here.
 */
export { collect, type Collected, type Roots, type StoreDirectories } from './collect.ts';
export { writeDurable, type Disk, type DiskEntry, type Owner } from './disk.ts';
export {
  imageStore,
  type ImageStore,
  type ImageStoreOptions,
  type StoredImage,
  type StoredObject,
  type StoredTree,
} from './image-store.ts';
export { nodeDisk } from './node-disk.ts';
export { admitSpace, spaceNeeded, type ImageSize, type SpaceNeed } from './space.ts';
export {
  removeKey,
  storedKeys,
  storeKey,
  type StoredKey,
  type TrustPlaces,
  type TrustScope,
} from './trust-store.ts';
export { maxStateBytes, stateSlots, type SavedState, type StateSlots } from './state-slots.ts';
