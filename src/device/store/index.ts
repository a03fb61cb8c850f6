/**
 * The storage of a device: image objects, the two slots of its state, the keys that it trusts, and
 * garbage collection. All of it survives a power cut at any instant. The disk is passed in; this
 * folder does not parse states or manifests.
 */
export { collect, findGarbage, type Roots, type StoreDirectories } from './collect.ts';
export { type Disk, type Owner, writeDurable } from './disk.ts';
export { futureDigest, programVerity } from './fsverity-program.ts';
export {
  type ImageStore,
  imageStore,
  parseTreeId,
  type StoredImage,
  type StoredObject,
  type StoredTree,
  type TreeId,
} from './image-store.ts';
export { nodeDisk } from './node-disk.ts';
export { admitSpace, type ImageSize, spaceNeeded } from './space.ts';
export { maxStateBytes, stateSlots, type StateSlots } from './state-slots.ts';
export {
  removeKeys,
  requireRoom,
  storedCopies,
  type StoredKey,
  storedKeys,
  storeKeys,
  type NewKey,
  type TrustPlaces,
  type TrustScope,
} from './trust-store.ts';
export { verityDigestForm } from './verity.ts';
