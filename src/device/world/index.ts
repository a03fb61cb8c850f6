/**
 * The device as a deployment acts on it: mounts, unit files, activation, probation and upkeep through systemd and the disk.
 */
export { DeviceWorld } from './device-world.ts';
export { ImageMounts } from './image-mounts.ts';
export { readNetworkFacts } from './network-facts.ts';
export { PodFiles } from './pod-files.ts';
export { PodWatch } from './pod-watch.ts';
export { stagePods } from './staging.ts';
export { StepRunner } from './steps.ts';
export { StoredObjects } from './stored-objects.ts';
export { watchProbation } from './watch-probation.ts';
