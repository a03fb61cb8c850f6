/**
 * Facts about this device: its paths, architectures, controllers and programs. Also how a
 * socket-activated program ends when it is idle.
 */
export { endWhenIdle } from './end-when-idle.ts';
export { type Host, lookAtHost, readCgroupFile, readPodAddresses, readSmallFile } from './host.ts';
export { judgeLabel } from './judge-label.ts';
export { type Places, places, pullUser } from './places.ts';
export {
  approvalPath,
  type HoldPlaces,
  lockDirectories,
  type LockFile,
  lockIn,
  readLocks,
} from './hold-files.ts';
