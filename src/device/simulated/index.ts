/**
 * Devices without hardware, for trying out a fleet: real sessions, real signature checks, pods that
 * are only reported. Never a part of wherryd.
 */
export { type FaultKind, faultsOf, type Faults, parseFaults } from './faults.ts';
export { SimulatedFleet, type SimulatedFleetOptions } from './simulated-fleet.ts';
export type { Traffic } from './traffic.ts';
