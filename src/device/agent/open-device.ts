import { mkdir } from 'node:fs/promises';
import { newestIssued } from '../deploy/index.ts';
import { imageStore, nodeDisk, programVerity, stateSlots } from '../store/index.ts';
import { connectSystemd, openNotifier } from '../systemd/index.ts';
import { type Journal, systemClock } from '../../core/ports/index.ts';
import { lookAtHost, type Places, pullUser } from '../host/index.ts';
import { type DeviceTime, deviceTime, timeFloor } from '../../wire/trust/index.ts';
import { raiseClock } from './clock-floor.ts';
import { parseConfig } from './config.ts';
import { inTurn } from './in-turn.ts';
import { openState } from './state-file.ts';
import { deviceTrust, trustFiles } from './trust-files.ts';
import { accountOf } from './unit-account.ts';

export interface OpenOptions {
  readonly journal: Journal;
  readonly places: Places;
  readonly configText: string;
  /** Seconds since 1970 at which this program was built. */
  readonly buildTime: number;
  /** Whether a clock chip or time synchronization makes this device's clock trustworthy. */
  readonly clockIsKept: () => Promise<boolean>;
  /** Whether a time source has set it. */
  readonly clockIsSynchronized: () => Promise<boolean>;
}

/** What is opened once and shared by the parts of wherryd. */
export type OpenedDevice = Awaited<ReturnType<typeof openDevice>>;

/**
 * Reads the configuration and the state, connects to systemd, and detects what this device can do.
 * @throws Refusal `config-invalid`, `state-unreadable` and other reasons why wherryd cannot start
 */
export async function openDevice(options: OpenOptions) {
  const { journal, places } = options;
  const config = parseConfig(options.configText);
  const disk = nodeDisk();
  const notifier = openNotifier(journal);
  const systemd = connectSystemd({ watched: ['wherry-pod-'] });
  for (const place of [places.images, places.partial, places.pods, places.metadata, places.run]) {
    await mkdir(place, { recursive: true, mode: 0o755 });
  }
  const verity = programVerity();
  const looking = verity.lack(places.images); // a process, which runs while the state is read
  const keeper = await openState(stateSlots(disk, places.state), journal);
  const owner = await accountOf(pullUser);
  const unsealable = await looking;
  const host = lookAtHost(places.run, unsealable);
  const store = imageStore(disk, places.images, { verity, seals: unsealable === undefined });
  const stores = { local: places.trust, system: places.systemTrust };
  const trust = deviceTrust(trustFiles(stores), () => keeper.state.root?.document);
  const floor = (): number =>
    timeFloor({ buildTime: options.buildTime, newestIssued: newestIssued(keeper.state), savedTime: 0 });
  const now = async (): Promise<DeviceTime> => {
    const isKept = await options.clockIsKept(); // first: it may take seconds
    return deviceTime(Math.floor(systemClock.nowMs() / 1000), isKept, floor());
  };
  const file = places.clockFloor;
  const isSynchronized = options.clockIsSynchronized;
  const raise = (): Promise<boolean> =>
    raiseClock({ clock: systemClock, disk, journal, systemd, file, floor, isSynchronized });
  const seals = unsealable === undefined;
  return {
    ...{ journal, places, config, disk, notifier, systemd, seals, host, store },
    ...{ keeper, owner, stores, trust, now, raiseClock: raise },
    /** Queues examinations: the examining unit takes one message at a time. */
    examining: inTurn(),
  };
}
