/**
 * Kubernetes pods as input: what of a Pod has a meaning on a device becomes a pod manifest, and a
 * field that has none is refused by its name. Pure; reads text, touches nothing.
 */
export { isKubernetes, podFromKubernetes } from './pod.ts';
