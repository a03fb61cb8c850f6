import { parseFaults, SimulatedFleet, type Traffic } from '../../../device/simulated/index.ts';
import type { BrokerAddress } from '../../../wire/mqtt/index.ts';
import { isAcName } from '../../../image/appc/index.ts';
import { Refusal } from '../../../core/refusal/index.ts';
import { FleetDirectory, requireBrokerUrl } from '../../../operator/fleet/index.ts';
import type { Context } from '../../context.ts';
import type { SimFlags } from '../../flags.ts';
import { formatBytes } from '../../format.ts';
import { readFleetKeys } from '../../key-files.ts';

/** How often the numbers are printed. */
const reportMs = 5_000;

/** `wherry sim`: runs simulated devices until Ctrl-C, or until `--for` is over. */
export async function simulate(context: Context, count: number, flags: SimFlags): Promise<void> {
  const { terminal, clock } = context;
  const fleet = await FleetDirectory.open(context.fleetPath);
  requireNames(count, flags);
  const before = process.memoryUsage().rss;
  const devices = new SimulatedFleet({
    fleet: fleet.config.fleet,
    brokers: await brokersOf(fleet, flags.broker),
    keys: await readFleetKeys(fleet, 'deploy'),
    clock,
    count,
    prefix: flags.prefix,
    ...(flags.group === undefined ? {} : { group: flags.group }),
    faults: parseFaults(flags.fault ?? []),
    seed: flags.seed,
    ...(flags.badImage === undefined ? {} : { badImage: flags.badImage }),
    phaseMs: flags.phase * 1000,
    reconnectWindowSeconds: fleet.config.deploy.reconnectWindowSeconds,
    startsPerSecond: flags.startsPerSecond,
  });
  const ended = new AbortController();
  const refused = new AbortController();
  const stop = AbortSignal.any([terminal.stop, ended.signal, refused.signal]);
  const sleep = (ms: number) => clock.sleep(ms, stop).catch(() => undefined);
  if (flags.for !== undefined) void sleep(flags.for * 1000).then(() => ended.abort());
  if (flags.herd !== undefined) void sleep(flags.herd * 1000).then(() => devices.cutAll());
  if (terminal.isLive)
    terminal.err(
      `${count} devices connect, ${flags.startsPerSecond} in a second; numbers follow every ${reportMs / 1000} s\n`,
    );
  const started = devices.start();
  started.catch(() => refused.abort());
  try {
    while (!stop.aborted) {
      await sleep(reportMs);
      if (refused.signal.aborted) break;
      const memory = process.memoryUsage().rss - before;
      const line = {
        atMs: Math.round(clock.monotonicMs()),
        ...devices.traffic,
        verified: devices.verified,
        // The garbage of the start may be freed.
        bytesPerDevice: Math.max(0, Math.round(memory / count)),
      };
      terminal.out(context.json ? JSON.stringify(line) : describe(line));
    }
  } finally {
    await started.finally(() => devices.close());
  }
}

/** Topics have names of at most 64 characters. @throws Refusal `usage` */
function requireNames(count: number, { prefix, group }: SimFlags): void {
  const isName = (name: string): boolean => isAcName(name) && name.length <= 64;
  const last = `${prefix}-${count - 1}`;
  if (!isName(last)) {
    const form = 'lower-case words with dashes, so that a device is called by at most 64 characters';
    throw new Refusal('usage', `--prefix takes ${form}, not ${JSON.stringify(prefix)}`);
  }
  if (group === undefined || isName(group)) return;
  const form = 'lower-case words with dashes, at most 64 characters';
  throw new Refusal('usage', `--group takes ${form}, not ${JSON.stringify(group)}`);
}

/** The addresses of the devices: those of the command line, or that of the fleet. */
async function brokersOf(
  fleet: FleetDirectory,
  urls: readonly string[] | undefined,
): Promise<readonly [BrokerAddress, ...BrokerAddress[]]> {
  for (const url of urls ?? []) requireBrokerUrl('--broker', url);
  const own = await fleet.brokerAddress();
  const [first = own, ...others] = (urls ?? []).map((url) => ({ ...own, url }));
  return [first, ...others];
}

function describe(line: Traffic & { readonly verified: number; readonly bytesPerDevice: number }): string {
  const {
    connected,
    attempts,
    connections,
    sentMessages,
    sentBytes,
    receivedMessages,
    receivedBytes,
    verified,
    bytesPerDevice,
  } = line;
  return [
    `${connected} connected (${connections} connections made, ${attempts} tried)`,
    `sent ${sentMessages} messages, ${formatBytes(sentBytes)}`,
    `received ${receivedMessages}, ${formatBytes(receivedBytes)}`,
    `${verified} verified`,
    `${formatBytes(bytesPerDevice)} of memory for each device`,
  ].join(' · ');
}
