/**
 * Requests to a device on the device itself, by its commands and over the local API. They read from
 * systemd and the disk, so most of them work without wherryd.
 */
export {
  activatedApps,
  type AppUnit,
  appUnits,
  findRunningApp,
  parseAppUnits,
  type RunningApp,
} from './app-units.ts';
export { type LogChoice, journalCommand, type LogLine, readLog, refuseOtherTimes } from './app-logs.ts';
export { type DeviceStatus, lastRecord, type SupervisorRecord } from './device-status.ts';
export { type DeviceStore, deviceStore, openDeviceStore } from './device-store.ts';
export { askToCollect, catches, type GarbageList, listGarbage } from './garbage.ts';
export { imageSummaries, type ImageSummary, storedImages } from './images.ts';
export { describePod, type InspectedApp, type InspectedPod, inspectPod } from './inspect-pod.ts';
export { addLock, approve, type NewLock, removeLock } from './locks.ts';
export {
  describeNetworks,
  type InspectedNetwork,
  inspectNetwork,
  listNetworks,
  type NetworkSummary,
} from './networks.ts';
export {
  appSummary,
  type AppSummary,
  changePod,
  holdersOf,
  listApps,
  podCommand,
  type PodChange,
} from './pods.ts';
export { type AppLoad, type AppUsage, loadBetween, sampleUsage, type UsageSample } from './usage.ts';
