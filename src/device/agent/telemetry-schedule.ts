import type { Clock } from '../../core/ports/index.ts';
import type { Telemetry } from '../../wire/report/index.ts';
import { hasMoved } from './news.ts';
import { type Readings, telemetryOf } from './readings.ts';

export interface TelemetryPorts {
  readonly clock: Clock;
  readonly look: () => Promise<Readings>;
  readonly publish: (telemetry: Telemetry) => void;
  readonly onError: (error: unknown) => void;
}

/**
 * Takes a reading each interval, and publishes it if a number has moved since the last publication.
 */
export async function sendTelemetry(
  { clock, look, publish, onError }: TelemetryPorts,
  intervalSeconds: number,
  signal: AbortSignal,
): Promise<void> {
  let before: Readings | undefined;
  let published: Telemetry | undefined;
  while (!signal.aborted) {
    try {
      const now = await look();
      const telemetry = telemetryOf(before, now);
      before = now;
      if (published === undefined || hasMoved(published, telemetry)) {
        published = telemetry;
        publish(telemetry);
      }
    } catch (error) {
      onError(error);
    }
    await clock.sleep(intervalSeconds * 1000, signal).catch(() => undefined);
  }
}
