/**
 * Carries rollouts out: signs their commands at the start, also by several people, publishes them
 * wave by wave, and continues after any crash. It prints nothing.
 */
export { driveRollout, type DriveOptions } from './drive-rollout.ts';
export { countersignRollout, type Described } from './countersign-rollout.ts';
export { prepareRollout, type RolloutRequest } from './prepare.ts';
