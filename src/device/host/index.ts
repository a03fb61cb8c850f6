/**
 * Facts about this device: where things are on its disk, its architectures, controllers and
 * programs.
 */
export { type Host, lookAtHost, readCgroupFile, readPodAddresses, readSmallFile } from './host.ts';
export { type Places, places, pullUser } from './places.ts';
