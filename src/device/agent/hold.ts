import { existsSync } from 'node:fs';
import type { PendingDeployment } from '../deploy/index.ts';
import { whyWait } from '../deploy/index.ts';
import { approvalPath, type HoldPlaces, readLocks } from '../host/index.ts';
import { type DeviceTime, groupOf, type MaintenanceWindow } from '../../wire/trust/index.ts';
import { WindowClock } from './windows.ts';

/**
 * Returns a function that says why the activation of a pending deployment waits now, if it does. It
 * remembers the windows of the last version, so that each minute is checked once.
 */
export function holdOf(
  places: HoldPlaces,
  bootId: string,
  now: () => DeviceTime,
): (pending: PendingDeployment) => Promise<string | undefined> {
  let clocks: { readonly of: readonly MaintenanceWindow[]; readonly all: readonly WindowClock[] } | undefined;
  const isOpen = async (windows: readonly MaintenanceWindow[], nowSeconds: number): Promise<boolean> => {
    if (clocks?.of !== windows) clocks = { of: windows, all: windows.map((one) => new WindowClock(one)) };
    let open = false;
    for (const clock of clocks.all) open = (await clock.isOpen(nowSeconds * 1000)) || open;
    return open;
  };
  return async ({ desired, bootId: acceptedIn }) => {
    const { activation } = desired.policy;
    const { nowSeconds, clockTrusted } = now();
    const group = groupOf(desired.target);
    return whyWait(activation, desired.version, {
      nowSeconds,
      clockTrusted,
      bootId,
      ...(group === undefined ? {} : { group }),
      ...(acceptedIn === undefined ? {} : { acceptedIn }),
      locks: readLocks(places),
      approved: existsSync(approvalPath(places, desired.version, group)),
      windowOpen:
        clockTrusted && activation?.windows !== undefined && (await isOpen(activation.windows, nowSeconds)),
    });
  };
}
