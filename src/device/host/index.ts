/**
 * Facts about this device: where things are on its disk, its architectures, controllers and
 * programs; and how a program ends that systemd has started for a socket.
 */
export { endWhenIdle } from './end-when-idle.ts';
export { type Host, lookAtHost, readCgroupFile, readPodAddresses, readSmallFile } from './host.ts';
export { type Places, places, pullUser } from './places.ts';
export { approvalPath, type HoldPlaces, lockDirectories, type LockFile, readLocks } from './hold-files.ts';
