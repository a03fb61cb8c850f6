/** Downloads: HTTP(S) with resume and limits, and the pull unit's job and result. */
export type * from './pull-job.ts';
