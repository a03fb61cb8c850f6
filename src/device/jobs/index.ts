/**
 * What the short-lived unprivileged units share: their job and result files, wherryd's side of a
 * job (`runJob`), the program's side (`answerJob`), and the building of an object.
 */
export { answerJob, jobDirectory, jobName } from './answer-job.ts';
export { decodeFile, hexDigits, jobFiles, type RefusedResult } from './job-files.ts';
export { startObjectBuilder } from './object-builder.ts';
export { type JobPorts, runJob, type UnitJob } from './run-job.ts';
