/**
 * Whether pods are healthy: cgroup readings, probes, and the verdict over a probation. It reads and
 * judges; it never starts or stops anything.
 */
export { readCgroup, type ReadCgroupFile } from './cgroup.ts';
export { type AppSample, whyUnhealthy, Probation, probationRules } from './probation.ts';
export { askHttp, askTcp, noAnswer, type ProbeOutcome } from './probe.ts';
export { judgeProbe, nextProbeSeconds, notAsked, type ProbeState } from './probe-state.ts';
