import { spawn } from 'node:child_process';
import type { Journal } from '../../core/ports/index.ts';
import { loadAddon } from './addons.ts';

/** Notifications to the service manager (sd_notify(3)). */
export interface Notifier {
  /** Notifies that the start is complete; from then on the watchdog is served. */
  ready(): void;
  stopping(): void;
  close(): void;
}

interface NotifyAddon {
  sendState(state: string): void;
}

/**
 * Notifies systemd of readiness and serves the watchdog at half its interval. The addon sends
 * notifications itself; without it, `systemd-notify` is started for each one, which the unit must
 * allow (`NotifyAccess=all`).
 *
 * Outside of systemd (no NOTIFY_SOCKET) it does nothing.
 */
export function openNotifier(
  journal: Journal,
  environment: NodeJS.ProcessEnv = process.env,
  addon: unknown = loadAddon('notify'),
): Notifier {
  const send = environment['NOTIFY_SOCKET'] === undefined ? () => undefined : sender(addon, journal);
  const watchdogMs = Number(environment['WATCHDOG_USEC'] ?? 0) / 1000;
  let timer: NodeJS.Timeout | undefined;
  return {
    ready: () => {
      send('READY=1');
      if (watchdogMs > 0) timer = setInterval(() => send('WATCHDOG=1'), watchdogMs / 2);
    },
    stopping: () => send('STOPPING=1'),
    close: () => clearInterval(timer),
  };
}

function sender(addon: unknown, journal: Journal): (state: string) => void {
  if (isNotify(addon)) return (state) => addon.sendState(state);
  journal.log('notice', 'the notify addon does not fit this Node; systemd-notify is used instead');
  return (state) => {
    spawn('systemd-notify', [state], { stdio: 'ignore' }).on('error', () => undefined); // without systemd there is no receiver
  };
}

function isNotify(addon: unknown): addon is NotifyAddon {
  return typeof addon === 'object' && addon !== null && 'sendState' in addon;
}
