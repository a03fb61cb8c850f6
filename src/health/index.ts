/**
 * Whether pods are well: cgroup readings, probes, and the verdict over a probation. It reads and judges; it never starts or
 * stops anything.
 */
export { readCgroup, type CgroupReadings, type ReadCgroupFile } from './cgroup.ts';
export { askHttp } from './probe.ts';
export { illness, Probation, probationRules, type AppSample, type Verdict } from './probation.ts';
