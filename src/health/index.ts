/**
 * Whether pods are well: cgroup readings, probes, and the verdict over a probation. It reads and judges; it never starts or
 * stops anything.
 */
export { readCgroup, type CgroupReadings, type ReadCgroupFile } from '../device/health/index.ts';
export { askHttp } from '../device/health/index.ts';
export { illness, Probation, probationRules, type AppSample, type Verdict } from '../device/health/index.ts';
