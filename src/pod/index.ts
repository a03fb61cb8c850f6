/** Compiles a pod manifest into units and crun bundles. Pure: values in, text out. */
export type * from './compiled-pod.ts';
