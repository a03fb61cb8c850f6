/**
 * Whether pods are well: cgroup readings, probes, and the verdict over a probation. It reads and judges; it never starts or
 * stops anything.
 */
export { type CgroupReadings, readCgroup, type ReadCgroupFile } from './cgroup.ts';
export { type AppSample, illness, Probation, probationRules, type Verdict } from './probation.ts';
export { askHttp } from './probe.ts';
