import type { Journal } from '../../core/ports/index.ts';
import { isRefusal } from '../../core/refusal/index.ts';
import { type Disk, writeDurable } from '../store/index.ts';
import type { Systemd } from '../systemd/index.ts';
import type { BrokerConfig } from './broker-config.ts';

/** The ports of the timer. `units` is a directory from which systemd reads units. */
export interface WakePorts {
  readonly systemd: Pick<Systemd, 'start' | 'stop' | 'status' | 'reload'>;
  readonly disk: Disk;
  readonly units: string;
}

export const wakeTimer = 'wherryd.timer';
const mark = '# Written by wherryd from broker.interval_seconds of /etc/wherry/wherry.toml.';
const maxBytes = 4096;

/**
 * The unit that starts wherryd `intervalSeconds` after it has ended. A part of the interval is
 * random, so that the devices of a fleet do not connect at the same time.
 */
export function wakeTimerText(intervalSeconds: number): string {
  return `${mark}
[Unit]
Description=Starts wherryd for its next visit to the broker
Documentation=man:wherry.toml(5)

[Timer]
OnUnitInactiveSec=${intervalSeconds}s
RandomizedDelaySec=${Math.ceil(intervalSeconds / 10)}s
AccuracySec=1s
Unit=wherryd.service
`;
}

/**
 * Has systemd start wherryd again after it has ended. Writes the unit only when the interval
 * changed. After a boot, wherryd's own unit starts it, and it arms the timer here.
 *
 * @returns whether the timer was active before, so this is not the first start after a boot
 * @throws Refusal `activation-failed` when systemd does not start the timer
 */
async function armWakeTimer(ports: WakePorts, intervalSeconds: number): Promise<boolean> {
  const { systemd, disk, units } = ports;
  const path = `${units}/${wakeTimer}`;
  const text = Buffer.from(wakeTimerText(intervalSeconds));
  const written = await disk.read(path, maxBytes);
  const wasArmed = (await systemd.status(wakeTimer)).activeState === 'active';
  if (written === undefined || !text.equals(written)) {
    await writeDurable(disk, path, text);
    await systemd.reload();
  }
  await systemd.start(wakeTimer);
  return wasArmed;
}

/**
 * Removes the timer, which a resident wherryd does not need. A timer of that name that wherryd did
 * not write is left alone.
 */
async function disarmWakeTimer({ systemd, disk, units }: WakePorts): Promise<void> {
  const path = `${units}/${wakeTimer}`;
  const written = await disk.read(path, maxBytes);
  if (written === undefined || !Buffer.from(written).toString().startsWith(mark)) return;
  await systemd.stop(wakeTimer);
  await disk.remove(path);
  await systemd.reload();
}

/**
 * Arms or disarms the timer as configured. If that fails, wherryd stays resident, because nothing
 * would start it again.
 */
export async function readyToVisit(
  ports: WakePorts,
  { visitEverySeconds }: Pick<BrokerConfig, 'visitEverySeconds'>,
  journal: Journal,
): Promise<{ readonly areOn: boolean; readonly isWoken: boolean }> {
  try {
    if (visitEverySeconds !== undefined) {
      return { areOn: true, isWoken: await armWakeTimer(ports, visitEverySeconds) };
    }
    await disarmWakeTimer(ports);
  } catch (error) {
    const code = isRefusal(error) ? error.code : 'internal';
    journal.log('error', `${wakeTimer} does not follow the configuration: ${String(error)}`, {
      WHERRY_CODE: code,
    });
  }
  return { areOn: false, isWoken: false };
}
