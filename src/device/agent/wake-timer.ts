import type { Journal } from '../../core/ports/index.ts';
import { isRefusal } from '../../core/refusal/index.ts';
import { type Disk, writeDurable } from '../store/index.ts';
import type { Systemd } from '../systemd/index.ts';
import type { BrokerConfig } from './broker-config.ts';

/** Where systemd reads units, and whom the timer is written for. */
export interface WakePorts {
  readonly systemd: Pick<Systemd, 'start' | 'stop' | 'status' | 'reload'>;
  readonly disk: Disk;
  readonly units: string;
}

export const wakeTimer = 'wherryd.timer';
const mark = '# Written by wherryd from broker.interval_seconds of /etc/wherry/wherry.toml.';
const maxBytes = 4096;

/**
 * The unit that starts wherryd so long after it has ended. A part of the interval is random, so
 * that the devices of a fleet do not come at one moment.
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
 * Has systemd start wherryd again after it has ended. The file is written when the interval
 * changed; a boot has wherryd start by its own unit, which comes back here.
 *
 * @returns whether the timer was there before, so this is not the first start after a boot
 * @throws Refusal `activation-failed` when systemd does not start the timer
 */
export async function armWakeTimer(ports: WakePorts, intervalSeconds: number): Promise<boolean> {
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
 * A resident wherryd is started by nobody else; somebody's own timer of that name is left alone.
 */
export async function disarmWakeTimer({ systemd, disk, units }: WakePorts): Promise<void> {
  const path = `${units}/${wakeTimer}`;
  const written = await disk.read(path, maxBytes);
  if (written === undefined || !Buffer.from(written).toString().startsWith(mark)) return;
  await systemd.stop(wakeTimer);
  await disk.remove(path);
  await systemd.reload();
}

/**
 * Makes the timer what the configuration says. A wherryd that systemd would not start again stays.
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
