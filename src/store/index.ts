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
} from '../device/store/index.ts';
export { writeDurable, type Disk, type DiskEntry, type Owner } from '../device/store/index.ts';
export {
  type Committed,
  imageStore,
  type ImageStore,
  type ImageStoreOptions,
  type StoredImage,
  type StoredObject,
  type StoredTree,
} from '../device/store/index.ts';
export { fsverityProgram, futureDigest, programVerity } from '../device/store/index.ts';
export { nodeDisk } from '../device/store/index.ts';
export { admitSpace, spaceNeeded, type ImageSize, type SpaceNeed } from '../device/store/index.ts';
export {
  removeKey,
  storedKeys,
  storeKey,
  type StoredKey,
  type TrustPlaces,
  type TrustScope,
} from '../device/store/index.ts';
export { verityDigestForm, type Measure, type Verity } from '../device/store/index.ts';
export { maxStateBytes, stateSlots, type SavedState, type StateSlots } from '../device/store/index.ts';
