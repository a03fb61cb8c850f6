/**
 * The device as a deployment acts on it: mounts, unit files, activation, probation and upkeep
 * through systemd and the disk.
 */
export { askProbe } from './ask-probe.ts';
export { checkCalendar } from './check-calendar.ts';
export { DeviceWorld } from './device-world.ts';
export { type LastOutput, quotedLines, quoteOutput } from './last-output.ts';
export { metadataKey } from './metadata-key.ts';
export { readNetworkFacts } from './network-facts.ts';
export { PodFiles } from './pod-files.ts';
export { PodWatch } from './pod-watch.ts';
export { ProbeWatch } from './probe-watch.ts';
export { systemCalls } from './system-calls.ts';
export type { ProbationBroker } from './watch-probation.ts';
