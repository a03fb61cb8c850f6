import type { Clock, Journal } from '../../core/ports/index.ts';
import { isRefusal, notYetValid } from '../../core/refusal/index.ts';
import { clockSkewSeconds } from '../../wire/trust/index.ts';
import type { Disk } from '../store/index.ts';
import type { Systemd } from '../systemd/index.ts';

const unit = 'wherry-floor.service';

export interface ClockFloorPorts {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly disk: Pick<Disk, 'write'>;
  readonly journal: Journal;
  readonly systemd: Pick<Systemd, 'resetFailed' | 'run'>;
  /** The file from which the unit reads the time. It also shows that the clock was set by it. */
  readonly file: string;
  /** The earliest possible time, in seconds since 1970. */
  readonly floor: () => number;
  /** Whether a time source has set the clock. */
  readonly isSynchronized: () => Promise<boolean>;
}

/**
 * Sets the clock to the earliest possible time if it is behind that by more than the clocks of two
 * machines differ, so that TLS accepts the certificates which were valid then: a device without a
 * time source would never connect. The clock is not trusted by this, nor is its chip until the next
 * boot. It does not fail.
 *
 * @returns whether it was set
 */
export async function raiseClock(ports: ClockFloorPorts): Promise<boolean> {
  const { clock, disk, journal, systemd, file } = ports;
  const floor = ports.floor();
  if (clock.nowMs() >= (floor - clockSkewSeconds) * 1000 || (await ports.isSynchronized())) return false;
  const begin = async (): Promise<string> => {
    await disk.write(file, Buffer.from(`${floor}\n`));
    await systemd.resetFailed(unit);
    return await systemd.run(unit);
  };
  const end = await begin().catch(String);
  const time = `${new Date(floor * 1000).toISOString()}, the earliest possible time`;
  if (clock.nowMs() >= floor * 1000) {
    journal.log('notice', `the clock was behind ${time}, and was set to that`);
    return true;
  }
  journal.log('warning', `the clock is behind ${time}, and ${unit} did not set it: ${end}`);
  return false;
}

/**
 * A pull, and once more if a server had a certificate that was not valid yet and the clock was
 * behind. The server gains nothing by such a certificate: it does not choose the time.
 *
 * @param raise `raiseClock`
 */
export async function pullInTime<T>(pull: () => Promise<T>, raise: () => Promise<boolean>): Promise<T> {
  try {
    return await pull();
  } catch (error) {
    const isTooEarly = isRefusal(error, 'download-failed') && error.message.includes(notYetValid);
    if (!isTooEarly || !(await raise())) throw error;
    return await pull();
  }
}
