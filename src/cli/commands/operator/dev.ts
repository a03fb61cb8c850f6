import { join } from 'node:path';
import { FleetDirectory } from '../../../operator/fleet/index.ts';
import { startEmbeddedBroker, startImageServer, urlHost, type Access } from '../../../operator/dev/index.ts';
import { isRefusal, Refusal } from '../../../core/refusal/index.ts';
import { deviceTopics } from '../../../wire/report/index.ts';
import type { Context } from '../../context.ts';
import { formatBytes } from '../../format.ts';
import type { DevFlags } from '../../flags.ts';
import { createFleet } from './fleet.ts';

/** The address that is shown for this machine when it listens on all its addresses. */
const loopbackOf: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** `wherry dev`: serves until Ctrl-C. */
export async function dev(context: Context, flags: DevFlags): Promise<void> {
  const { terminal } = context;
  if (flags.brokerPort !== 0 && flags.brokerPort === flags.imagePort)
    throw new Refusal('usage', '--broker-port and --image-port are the same; choose two ports');
  const tell = (event: object, text: string) => terminal.out(context.json ? JSON.stringify(event) : text);
  const images = await startImageServer({
    directory: join(context.fleetPath, 'images'),
    host: flags.host,
    port: flags.imagePort,
    onAccess: (access) => tell({ event: 'access', ...access }, describe(access)),
  });
  try {
    const broker = await startEmbeddedBroker({
      host: flags.host,
      port: flags.brokerPort,
      onClient: (client, connected) => {
        tell(
          { event: connected ? 'connect' : 'disconnect', client },
          `${client} ${connected ? 'connected' : 'left'}`,
        );
      },
    });
    try {
      // Now that nothing else is refused.
      const fleet = await openOrCreate(context, flags);
      await restore(fleet, (topic, envelope) => broker.retain(topic, envelope));
      tell(
        {
          event: 'ready',
          fleet: fleet.config.fleet,
          path: fleet.path,
          broker: broker.url,
          images: images.url,
        },
        [
          `fleet   ${fleet.config.fleet} in ${fleet.path}`,
          `broker  ${broker.url}`,
          `images  ${images.url}  from ${fleet.imagesPath}`,
          'Ctrl-C stops both; devices and their pods keep running.',
        ].join('\n'),
      );
      for (const [what, here, configured] of [
        ['broker.url', broker.url, fleet.config.broker.url],
        ['images.base_url', images.url, fleet.config.imagesUrl],
      ] as const) {
        if (new URL(here).port !== new URL(configured).port) {
          terminal.err(`note: fleet.toml has ${what} = "${configured}", but it is served at ${here}\n`);
        }
      }
      if (!terminal.stop.aborted) {
        await new Promise((resolve) => terminal.stop.addEventListener('abort', resolve, { once: true }));
      }
    } finally {
      await broker.close();
    }
  } finally {
    await images.close();
  }
}

async function openOrCreate(context: Context, flags: DevFlags): Promise<FleetDirectory> {
  try {
    return await FleetDirectory.open(context.fleetPath);
  } catch (error) {
    if (!isRefusal(error, 'not-found')) throw error;
    const host = urlHost(loopbackOf[flags.host] ?? flags.host);
    const broker = `mqtt://${host}:${flags.brokerPort || 1883}`;
    const { fleet } = await createFleet(context, 'dev', broker, `http://${host}:${flags.imagePort || 8080}`);
    context.terminal.err(`made the fleet dev in ${fleet.path}\n`);
    return fleet;
  }
}

/**
 * This broker forgets everything when it ends; the fleet directory has the newest command of each
 * device.
 */
async function restore(
  fleet: FleetDirectory,
  retain: (topic: string, envelope: Uint8Array) => Promise<void>,
): Promise<void> {
  for (const device of await fleet.devices()) {
    const newest = (await fleet.history(device)).at(-1);
    if (newest === undefined) continue;
    await retain(
      deviceTopics(fleet.config.fleet, device).desired,
      await fleet.envelope(device, newest.version),
    );
  }
}

function describe({ method, path, status, start, sentBytes, complete }: Access): string {
  const from = start > 0 ? ` from byte ${start}` : '';
  return `${method} ${JSON.stringify(path).slice(1, -1)}  ${status}  ${formatBytes(sentBytes)}${from}${complete ? '' : ', cut off'}`;
}
