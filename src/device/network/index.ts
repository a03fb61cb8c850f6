/**
 * Compiles the network of a pod: its choice, the plugin configurations of its attachment, and its
 * host ports. Pure: the facts of the device (plugins, the operator's networks, its configuration)
 * are passed in as values. Nothing here runs a plugin: a unit of the pod does (units.ts of
 * device/pod, cross/debian/attach-network).
 */
export { isSubnet6, procAddresses } from './addresses.ts';
export { type AddressPool, addressPools, type Lease, refuseExhausted } from './address-pools.ts';
export { attachmentFailure, type AttachmentFailure } from './attachment-failure.ts';
export { type DeclaredPorts, type HostPort, refuseSharedPorts } from './host-ports.ts';
export { refuseTakenPorts, socketTables } from './listening.ts';
export { type NetworkFacts, hostOnly } from './network-facts.ts';
export { type NetworkLimit, networkLimit } from './network-limit.ts';
export { choosePodNetwork, isNone, type PodNetwork, portsOf } from './pod-network.ts';
export { type PluginConfig, pluginChain } from './plugin-chain.ts';
export { translationRules } from './translation.ts';
