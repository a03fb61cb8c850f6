import type { FleetDirectory, FleetLink } from '../operator/fleet/index.ts';
import type { Clock } from '../core/ports/index.ts';
import type { Terminal } from './terminal.ts';

/** What every command gets. */
export interface Context {
  readonly terminal: Terminal;
  readonly clock: Clock;
  /** The fleet directory, from --fleet or WHERRY_FLEET. */
  readonly fleetPath: string;
  readonly json: boolean;
}

/**
 * Opens the fleet and connects to its broker; closes the connection after `work`, however it ends.
 */
export async function withLink<T>(
  context: Context,
  work: (link: FleetLink, fleet: FleetDirectory) => Promise<T>,
): Promise<T> {
  // Loaded here only: "wherry logs" and "wherry --help" on a small board need no MQTT.
  const { FleetDirectory, FleetLink } = await import('../operator/fleet/index.ts');
  const { MqttTransport } = await import('../wire/mqtt/index.ts');
  const fleet = await FleetDirectory.open(context.fleetPath);
  const link = await FleetLink.connect({
    fleet: fleet.config.fleet,
    transport: new MqttTransport(await fleet.brokerAddress()),
    clock: context.clock,
  });
  // Ctrl-C ends every wait by ending the connection.
  const stop = () => void link.close();
  context.terminal.stop.addEventListener('abort', stop, { once: true });
  try {
    return await work(link, fleet);
  } finally {
    context.terminal.stop.removeEventListener('abort', stop);
    await link.close();
  }
}
