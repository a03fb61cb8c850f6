/**
 * What a deployment does to the device, by systemd and the disk: executors of single steps. What is done and in which order
 * is decided in deploy/.
 */
export { ImageMounts } from './image-mounts.ts';
export { stagePods } from './staging.ts';
export { StepRunner } from './steps.ts';
export { StoredObjects } from './stored-objects.ts';
export { watchProbation } from './watch-probation.ts';
