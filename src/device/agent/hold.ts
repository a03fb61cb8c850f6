import { existsSync, statSync } from 'node:fs';
import type { Clock } from '../../core/ports/index.ts';
import type { Lock, PendingDeployment } from '../deploy/index.ts';
import { whyWait } from '../deploy/index.ts';
import { approvalPath, type HoldPlaces, type LockFile, readLocks } from '../host/index.ts';
import { type DeviceTime, groupOf, type MaintenanceWindow } from '../../wire/trust/index.ts';
import { WindowClock } from './windows.ts';

/**
 * Returns a function that says why the activation of a pending deployment waits now, if it does. It
 * remembers the windows of the last version, so that each minute is checked once.
 */
export function holdOf(
  places: HoldPlaces,
  bootId: string,
  now: () => Promise<DeviceTime>,
  clock: Pick<Clock, 'nowMs' | 'monotonicMs'>,
): (pending: PendingDeployment) => Promise<string | undefined> {
  const holding = lockTimes(clock);
  let clocks: { readonly of: readonly MaintenanceWindow[]; readonly all: readonly WindowClock[] } | undefined;
  const isOpen = async (windows: readonly MaintenanceWindow[], nowSeconds: number): Promise<boolean> => {
    if (clocks?.of !== windows) clocks = { of: windows, all: windows.map((one) => new WindowClock(one)) };
    let open = false;
    for (const clock of clocks.all) open = (await clock.isOpen(nowSeconds * 1000)) || open;
    return open;
  };
  return async ({ desired, bootId: acceptedIn }) => {
    const { activation } = desired.policy;
    const { nowSeconds, clockTrusted } = await now();
    const group = groupOf(desired.target);
    return whyWait(activation, desired.version, {
      clockTrusted,
      bootId,
      ...(group === undefined ? {} : { group }),
      ...(acceptedIn === undefined ? {} : { acceptedIn }),
      locks: holding(readLocks(places)),
      approved: existsSync(approvalPath(places, desired.version, group)),
      windowOpen:
        clockTrusted && activation?.windows !== undefined && (await isOpen(activation.windows, nowSeconds)),
    });
  };
}

/**
 * Returns a function that returns the locks that still hold. A lock lasts from its writing to its
 * expiry. Once it has been seen, that time is measured by the monotonic clock: the wall clock, by
 * which it was written, may be years off, and be set meanwhile. A lock that was written before the
 * clock was set back holds for its whole time again at most.
 */
function lockTimes(clock: Pick<Clock, 'nowMs' | 'monotonicMs'>) {
  let known = new Map<string, number>();
  return (locks: readonly LockFile[]): readonly Lock[] => {
    const [wallSeconds, atMs] = [Math.floor(clock.nowMs() / 1000), clock.monotonicMs()];
    const ends = new Map<string, number>();
    const held = locks.flatMap((lock) => {
      const { path, expires } = lock;
      const written = writtenSeconds(path);
      if (expires === undefined || written === undefined) return [lock];
      const id = `${path} ${written} ${expires}`;
      const key = known.has(id) || written <= wallSeconds ? id : `${id} ahead`;
      const endMs = known.get(key) ?? atMs + (expires - Math.max(wallSeconds, written)) * 1000;
      ends.set(key, endMs);
      const leftSeconds = Math.ceil((endMs - atMs) / 1000);
      return leftSeconds > 0 ? [{ ...lock, expires: wallSeconds + leftSeconds }] : [];
    });
    known = ends;
    return held;
  };
}

function writtenSeconds(path: string): number | undefined {
  const status = statSync(path, { throwIfNoEntry: false });
  return status === undefined ? undefined : Math.floor(status.mtimeMs / 1000);
}
