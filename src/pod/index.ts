/**
 * Compiles a pod manifest into units and crun bundles. Pure: values in, text out; what must be read of the image and of the
 * host comes in as values, and what must be made on the disk goes out as a list.
 */
export type * from '../device/pod/compiled-pod.ts';
export { appPath } from '../device/pod/index.ts';
export { compilePod } from '../device/pod/index.ts';
export { parseHttpProbe, type HttpProbe } from '../device/pod/index.ts';
export { podUuid } from '../device/pod/index.ts';
export { mountUnit, podsTargetText } from '../device/pod/index.ts';
