/**
 * Kubernetes pods as input: turns the fields of a Pod that have a meaning on a device into a pod
 * manifest, and refuses any other field by its name. Pure: no I/O.
 */
export { isKubernetes, podFromKubernetes } from './pod.ts';
