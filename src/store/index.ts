/**
 * What a device keeps: image objects, the two slots of its state, the keys that it trusts, and the removal of what nothing needs. All of it
 * holds over a power cut at any instant. The disk is passed in; what a state or a manifest says is not known here.
 */
export {
  collect,
  findGarbage,
  type Collected,
  type Garbage,
  type Roots,
  type StoreDirectories,
} from './collect.ts';
export { writeDurable, type Disk, type DiskEntry, type Owner } from './disk.ts';
export {
  type Committed,
  imageStore,
  type ImageStore,
  type ImageStoreOptions,
  parseTreeId,
  type StoredImage,
  type StoredObject,
  type StoredTree,
  type TreeId,
} from './image-store.ts';
export { fsverityProgram, futureDigest, programVerity } from './fsverity-program.ts';
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
export { verityDigestForm, type Measure, type Verity } from './verity.ts';
export { maxStateBytes, stateSlots, type SavedState, type StateSlots } from './state-slots.ts';
