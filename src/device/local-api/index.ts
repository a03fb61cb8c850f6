/**
 * What can be asked of a device on the device itself, by its commands and over the local API. It
 * reads what systemd and the disk have, so most of it works without wherryd.
 */
export {
  type AppUnit,
  appUnits,
  findRunningApp,
  parseAppUnits,
  type RunningApp,
  unitsOfPod,
} from './app-units.ts';
export { type DeviceStore, deviceStore, openDeviceStore } from './device-store.ts';
