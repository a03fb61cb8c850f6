/**
 * Compiles a pod manifest into units and crun bundles. Pure except for `HostFacts.judgeLabel`: the
 * other facts of the image and the host are passed in as values, and files and directories to
 * create are returned as lists.
 */
export { type AllowList, judgePath, type PrivilegedIsolator, privilegedIsolators } from './allow-list.ts';
export { appPath } from './bundle.ts';
export { compilePod } from './compile.ts';
export type { CompiledPod, CompiledProbe, HostFacts, LimitedVolume, PodImage } from './compiled-pod.ts';
export { isDevicePath } from './devices.ts';
export { type EmptyMount, emptyMounts, type PlacedApp } from './empty-mounts.ts';
export { crunError, execProcess, notRun } from './exec-process.ts';
export { knownCapabilities } from './isolation.ts';
export type { JudgeLabel, LabelVerdict } from './labels.ts';
export { limitedVolumeSuffix } from './places.ts';
export { type ProbeRules, usualRules } from './probe.ts';
export { probeFiles } from './probe-script.ts';
export { appSettings } from './settings.ts';
export { mountUnit, podsTargetText } from './units.ts';
export { hostSources, resolveMounts } from './volumes.ts';
