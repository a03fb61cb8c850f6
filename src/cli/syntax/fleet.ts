import { type Command, Option } from 'commander';
import type { DeploymentPhase } from '../../wire/report/index.ts';
import type { DeviceFilterFlags, FleetLogFlags } from '../flags.ts';
import { addFleetEnrol, addFleetRenew } from './enrol.ts';
import {
  byteCount,
  count,
  duration,
  example,
  labelFilter,
  type MakeContext,
  outputPath,
  refusalCode,
  signing,
} from './options.ts';

/** `wherry fleet` */
export function addFleet(program: Command, makeContext: MakeContext): void {
  const fleet = program
    .command('fleet')
    .description('make a fleet directory and files for its devices, and see what all of them do');
  fleet
    .command('init <name>')
    .description('make the fleet directory with fleet.toml and new keys')
    .option('--broker <url>', 'where devices and you find the MQTT broker', 'mqtt://127.0.0.1:1883')
    .option('--images <url>', 'where devices find images', 'http://127.0.0.1:8080')
    .addHelpText(
      'after',
      example('wherry --fleet harbour fleet init harbour --broker mqtts://broker.example:8883'),
    )
    .action(async (name: string, options: { broker: string; images: string }, command: Command) => {
      const { initFleet } = await import('../commands/operator/fleet.ts');
      await initFleet(makeContext(command.optsWithGlobals()), name, options);
    });
  fleet
    .command('provision <device>')
    .description(
      'show or write the files that make a device a member: wherry.toml and the keys that it trusts',
    )
    .option('-o, --output <dir>', 'write them below this directory instead', outputPath)
    .addHelpText('after', example('wherry fleet provision crane-7 -o /mnt/card'))
    .action(async (device: string, options: { output?: string }, command: Command) => {
      const { provision } = await import('../commands/operator/fleet.ts');
      await provision(makeContext(command.optsWithGlobals()), device, options);
    });
  addFleetEnrol(fleet, makeContext);
  addFleetRenew(fleet, makeContext);
  addFleetViews(fleet, makeContext);
  addFleetLogs(fleet, makeContext);
  addFleetKey(fleet, makeContext);
}

/** `wherry key`: of a device */
export function addKey(program: Command, makeContext: MakeContext): void {
  const key = program
    .command('key')
    .description('on a device: the key that commands for it are encrypted to, which never leaves it');
  key
    .command('init')
    .description('make the key, seal its private half for this device, and show its fingerprint')
    .option('--force', 'replace an existing key: what is encrypted to that can no longer be read')
    .addHelpText('after', example('wherry key init && wherry key show > crane-7.asc'))
    .action(async (options: { force?: true }, command: Command) => {
      const { initKey } = await import('../commands/device/key.ts');
      await initKey(makeContext(command.optsWithGlobals()), options);
    });
  key
    .command('show')
    .description('print the public half, for "wherry fleet key add"')
    .addHelpText('after', example('ssh root@crane-7 wherry key show > crane-7.asc'))
    .action(async (_options: object, command: Command) => {
      const { showKey } = await import('../commands/device/key.ts');
      await showKey(makeContext(command.optsWithGlobals()));
    });
}

function addFleetKey(fleet: Command, makeContext: MakeContext): void {
  const key = fleet.command('key').description('the keys of devices that commands are encrypted to');
  key
    .command('add <device> <file>')
    .description('encrypt commands for a device to this key from now on, after a look at its fingerprint')
    .option('--replace', 'replace another key that is known of it')
    .addHelpText('after', example('wherry fleet key add crane-7 crane-7.asc'))
    .action(async (device: string, file: string, options: { replace?: true }, command: Command) => {
      const { addDeviceKey } = await import('../commands/operator/device-keys.ts');
      await addDeviceKey(makeContext(command.optsWithGlobals()), device, file, options);
    });
  key
    .command('list')
    .description('show the devices whose keys are known, with their fingerprints')
    .addHelpText('after', example('wherry fleet key list --json'))
    .action(async (_options: object, command: Command) => {
      const { listDeviceKeys } = await import('../commands/operator/device-keys.ts');
      await listDeviceKeys(makeContext(command.optsWithGlobals()));
    });
}

function addFleetViews(fleet: Command, makeContext: MakeContext): void {
  filtering(
    fleet.command('status').description('count the devices by link, version, phase, health and failure'),
  )
    .option('--watch', 'keep showing changes until Ctrl-C')
    .addHelpText('after', example('wherry fleet status', 'wherry fleet status --running 12 --watch'))
    .action(async ({ running, ...options }: ViewFlags & { watch?: true }, command: Command) => {
      const { fleetStatus } = await import('../commands/operator/fleet-view.ts');
      await fleetStatus(makeContext(command.optsWithGlobals()), filterOf(running, options));
    });
  filtering(fleet.command('devices').description('list devices, one on each line'))
    .addHelpText(
      'after',
      example('wherry fleet devices --link down', 'wherry fleet devices --code no-space --json'),
    )
    .action(async ({ running, ...options }: ViewFlags, command: Command) => {
      const { fleetDevices } = await import('../commands/operator/fleet-view.ts');
      await fleetDevices(makeContext(command.optsWithGlobals()), filterOf(running, options));
    });
  fleet
    .command('device <name>')
    .description('show all that is known of a device, and what was published for it')
    .addHelpText('after', example('wherry fleet device crane-7'))
    .action(async (name: string, _options: object, command: Command) => {
      const { fleetDevice } = await import('../commands/operator/fleet-view.ts');
      await fleetDevice(makeContext(command.optsWithGlobals()), name);
    });
  fleet
    .command('events')
    .description('show how deployments end, as it happens, until Ctrl-C')
    .option('--prefix <text>', 'only devices whose name begins so')
    .option('--group <name>', 'only devices that are in this group')
    .option('--label <name=value>', 'only devices with this label; repeatable', labelFilter)
    .option('--code <code>', 'only failures with this code', refusalCode)
    .addHelpText('after', example('wherry fleet events', 'wherry fleet events --code no-space --json'))
    .action(async (options: DeviceFilterFlags, command: Command) => {
      const { fleetEvents } = await import('../commands/operator/fleet-view.ts');
      await fleetEvents(makeContext(command.optsWithGlobals()), options);
    });
}

function addFleetLogs(fleet: Command, makeContext: MakeContext): void {
  signing(
    fleet
      .command('logs <device> <pod> [app]')
      .description('request what a pod wrote from a device, with a signed request, and print it'),
  )
    .option('--since <time>', 'only what is newer, for example 15m or 2h', duration)
    .option('-n, --lines <count>', 'of what is there, only the newest lines', count)
    .option('--sign-only', 'sign the request, do not send it: for requests that several people must sign')
    .option('-o, --output <file>', 'where --sign-only writes the request', outputPath)
    .option('-f, --follow', 'keep printing what the pod writes, until --for is over or Ctrl-C')
    .addOption(
      new Option('--for <time>', 'how long the device answers, at most 1h')
        .argParser(duration)
        .default(600, '10m'),
    )
    .addOption(
      new Option('--limit <size>', 'how much the device sends, at most 1MiB')
        .argParser(byteCount)
        .default(256 << 10, '256KiB'),
    )
    .addHelpText(
      'after',
      example(
        'wherry fleet logs crane-7 web --since 15m',
        'wherry fleet logs crane-7 web nginx --follow --for 10m --limit 64KiB',
      ),
    )
    .action(
      async (
        device: string,
        pod: string,
        app: string | undefined,
        options: FleetLogFlags,
        command: Command,
      ) => {
        const { fleetLogs } = await import('../commands/operator/fleet-logs.ts');
        await fleetLogs(makeContext(command.optsWithGlobals()), [device, pod, app], options);
      },
    );
}

/** `--version` is the version of wherry, so the filter has another name. */
type ViewFlags = Omit<DeviceFilterFlags, 'version'> & { readonly running?: number };

function filterOf<T extends object>(running: number | undefined, options: T): T & { version?: number } {
  return running === undefined ? options : { ...options, version: running };
}

/** Checked by the compiler: the reports' own list would load their codec with every command. */
const phases = Object.keys({
  ...{ fetch: 0, stage: 0, wait: 0, activate: 0, probation: 0 },
  ...{ committed: 0, 'rolled-back': 0, refused: 0, superseded: 0 },
} satisfies Record<DeploymentPhase, 0>);

function filtering(command: Command): Command {
  return command
    .option('--prefix <text>', 'only devices whose name begins so')
    .addOption(new Option('--link <state>', 'only devices with this link').choices(['up', 'down', 'unknown']))
    .option('--running <version>', 'only devices that run this version', count)
    .addOption(
      new Option('--phase <phase>', 'only devices whose last deployment is in this phase').choices(phases),
    )
    .addOption(
      new Option('--health <health>', 'only devices with pods of this health').choices([
        'healthy',
        'unhealthy',
      ]),
    )
    .option('--code <code>', 'only devices whose last failure has this code', refusalCode)
    .option('--group <name>', 'only devices that are in this group')
    .option('--label <name=value>', 'only devices with this label; repeatable', labelFilter);
}

/** `wherry keys`: of the fleet */
export function addKeys(program: Command, makeContext: MakeContext): void {
  const keys = program.command('keys').description('the OpenPGP keys that sign commands and images');
  const role = '<role>';
  keys
    .command(`new ${role}`)
    .description('make a key for the role: deploy (commands) or images')
    .option('--force', 'replace an existing key; the old one is kept as *.old')
    .addHelpText('after', example('wherry keys new images'))
    .action(async (name: string, options: { force?: true }, command: Command) => {
      const { newKey } = await import('../commands/operator/keys.ts');
      await newKey(makeContext(command.optsWithGlobals()), name, options);
    });
  keys
    .command(`export ${role}`)
    .description('print the public key of the role, for /etc/wherry/trust on devices')
    .addHelpText('after', example('wherry keys export deploy > /etc/wherry/trust/deploy/harbour.asc'))
    .action(async (name: string, _options: object, command: Command) => {
      const { exportKey } = await import('../commands/operator/keys.ts');
      await exportKey(makeContext(command.optsWithGlobals()), name);
    });
}
