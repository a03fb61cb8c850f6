/**
 * wherryd: configuration, supervision of deployments, reports. It puts the parts of a device together.
 */
export type { Examined } from './supervisor.ts';
