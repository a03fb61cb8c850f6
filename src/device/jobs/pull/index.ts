/**
 * Pulling one image in `wherry-pull@.service`: the job and result files, starting it, and the pull
 * itself, whose bytes pass once through signature and archive checks into an object. The store
 * commits the object (store/).
 */
export { pullFiles } from './pull-job-codec.ts';
export type { PullJob, PullResult } from './pull-job.ts';
export { pullImage } from './pull-unit.ts';
export { pullUnit } from './wherry-pull.ts';
