/**
 * Downloads: HTTP(S) with resume, mirrors and limits, and the pull unit's job, progress and result. Nothing here judges
 * what the bytes mean (trust/, aci/) or keeps an image (store/); the clock and randomness are passed in.
 */
export type * from './pull-job.ts';
