/**
 * Compiles a pod manifest into units and crun bundles. Pure: values in, text out; what must be read
 * of the image and of the host comes in as values, and what must be made on the disk goes out as a
 * list.
 */
export { type AllowList, judgePath, type PrivilegedIsolator, privilegedIsolators } from './allow-list.ts';
export { appPath } from './bundle.ts';
export { compilePod } from './compile.ts';
export type { CompiledPod, CompiledProbe, HostFacts, LimitedVolume, PodImage } from './compiled-pod.ts';
export { isDevicePath } from './devices.ts';
export { crunError, execProcess } from './exec-process.ts';
export { knownCapabilities } from './isolation.ts';
export { limitedVolumeSuffix } from './places.ts';
export { type ProbeRules, usualRules } from './probe.ts';
export { probeFiles } from './probe-script.ts';
export { mountUnit, podsTargetText } from './units.ts';
export { resolveMounts } from './volumes.ts';
