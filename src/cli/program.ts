import { Command, InvalidArgumentError, Option } from 'commander';
import type { Context } from './context.ts';
import type {
  BuildFlags,
  DeployFlags,
  DevFlags,
  DiscoverFlags,
  FetchFlags,
  FromOciFlags,
  GlobalOptions,
  LogFlags,
  WaitFlags,
} from './flags.ts';
import type { AddFlags, ScopeFlags, TrustFlags } from './commands/trust.ts';
import type { Terminal } from './terminal.ts';

type MakeContext = (options: GlobalOptions) => Context;

/**
 * The command line as commander sees it: names, options, help. What a command does lies in commands/ and is loaded when
 * it runs, so that `wherry status` does not wait for OpenPGP or a web server.
 */
export function buildProgram(terminal: Terminal, makeContext: MakeContext): Command {
  const program = new Command('wherry')
    .description('Build and sign images, command a fleet of devices, and see what they do.')
    .version(process.env['WHERRY_VERSION'] ?? 'development', '--version')
    .option('--fleet <dir>', 'the fleet directory (default: $WHERRY_FLEET, or ./fleet)')
    .option('--json', 'results for programs, errors too')
    .helpOption('-h, --help', 'show this help')
    .helpCommand(false)
    .showHelpAfterError(false)
    .addHelpText('after', exitCodes);
  addFleet(program, makeContext);
  addKeys(program, makeContext);
  addImage(program, makeContext);
  addTrust(program, makeContext);
  addDeploy(program, makeContext);
  addStatus(program, makeContext);
  addDevice(program, makeContext);
  addDev(program, makeContext);
  for (const command of allCommands(program)) {
    command.exitOverride();
    command.configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      // Errors are told in one place, in one style (failure.ts).
      writeErr: () => undefined,
      getOutHelpWidth: () => terminal.columns || 100,
      getOutHasColors: () => terminal.hasColour,
    });
    command.configureHelp({ showGlobalOptions: true });
    command.allowExcessArguments(false);
  }
  return program;
}

const exitCodes = `
Exit status:
   0  done; for deploy and rollback: the device committed the version
  64  the command line or a file given is wrong, or nothing was found
  65  an image or a pod is not acceptable
  69  the broker or a server cannot be reached
  70  something is missing here or on the device
  75  no answer came in time
  77  the command may not be obeyed: signature, target, version or expiry

A first fleet:
  wherry fleet init harbour
  wherry dev
  wherry image build rootfs --name example.com/web --label arch=aarch64 --exec /bin/web -o web.aci --sign
  wherry deploy crane-7 --run web=web.aci --memory 64Mi
  wherry status --watch`;

function addFleet(program: Command, makeContext: MakeContext): void {
  const fleet = program.command('fleet').description('make a fleet directory, and files for its devices');
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
      const { initFleet } = await import('./commands/fleet.ts');
      await initFleet(makeContext(command.optsWithGlobals()), name, options);
    });
  fleet
    .command('provision <device>')
    .description(
      'show or write the files that make a device a member: wherry.toml and the keys that it trusts',
    )
    .option('-o, --output <dir>', 'write them below this directory instead')
    .addHelpText('after', example('wherry fleet provision crane-7 -o /mnt/card'))
    .action(async (device: string, options: { output?: string }, command: Command) => {
      const { provision } = await import('./commands/fleet.ts');
      await provision(makeContext(command.optsWithGlobals()), device, options);
    });
}

function addKeys(program: Command, makeContext: MakeContext): void {
  const keys = program.command('keys').description('the OpenPGP keys that sign commands and images');
  const role = '<role>';
  keys
    .command(`new ${role}`)
    .description('make a key for the role: deploy (commands) or images')
    .option('--force', 'although there is one; the old one is kept as *.old')
    .addHelpText('after', example('wherry keys new images'))
    .action(async (name: string, options: { force?: true }, command: Command) => {
      const { newKey } = await import('./commands/keys.ts');
      await newKey(makeContext(command.optsWithGlobals()), name, options);
    });
  keys
    .command(`export ${role}`)
    .description('print the public key of the role, for /etc/wherry/trust on devices')
    .addHelpText('after', example('wherry keys export deploy > /etc/wherry/trust/deploy/harbour.asc'))
    .action(async (name: string, _options: object, command: Command) => {
      const { exportKey } = await import('./commands/keys.ts');
      await exportKey(makeContext(command.optsWithGlobals()), name);
    });
}

function addImage(program: Command, makeContext: MakeContext): void {
  const image = program
    .command('image')
    .description('build, look into, sign and verify App Container Images');
  image
    .command('build <dir>')
    .description('build an image from a directory that becomes its root; the same input gives the same image')
    .requiredOption('-o, --output <file>', 'the .aci file to write')
    .option('--manifest <file>', 'image manifest (JSON); else --name and the options below make one')
    .option('--name <name>', 'image name, for example example.com/web')
    .addOption(repeatable('--label <name=value>', 'a label, for example version=1.0; repeatable'))
    .option('--exec <program...>', 'absolute path of the program, and its arguments')
    .option('--user <user>', 'user name or number', '0')
    .option('--group <group>', 'group name or number', '0')
    .addOption(repeatable('--env <name=value>', 'an environment variable; repeatable'))
    .option('--workdir <path>', 'working directory of the program')
    .option('--memory <quantity>', 'memory limit, for example 64Mi')
    .option('--cpu <quantity>', 'CPU limit, for example 500m')
    .addOption(repeatable('--annotation <name=value>', 'for example wherry/probe-http=8080/; repeatable'))
    .option('--owner <uid:gid>', 'owner of all files, in place of their own')
    .addOption(new Option('--compression <how>', 'compression').choices(['gzip', 'none']).default('gzip'))
    .option('--sign', "sign it with the fleet's image key")
    .addHelpText(
      'after',
      example(
        'wherry image build rootfs --name example.com/web --label version=1.0 --label arch=aarch64 \\',
        '    --exec /usr/sbin/web --exec=--foreground --user 33 -o web.aci --sign',
        'wherry image build rootfs --manifest manifest.json -o web.aci',
      ),
    )
    .action(async (directory: string, options: BuildFlags, command: Command) => {
      const { buildImage } = await import('./commands/image-build.ts');
      await buildImage(makeContext(command.optsWithGlobals()), directory, options);
    });
  image
    .command('from-oci <source>')
    .description('make an image of an OCI or Docker image: DIR, FILE.tar, or docker://HOST/NAME:TAG')
    .requiredOption('-o, --output <file>', 'the .aci file to write')
    .option('--name <name>', 'image name (default: registry and repository)')
    .option('--platform <platform>', 'which one of an index, for example linux/arm/v7 or linux/arm64')
    .addOption(repeatable('--label <name=value>', 'a label, for example version=1.0; repeatable'))
    .addOption(new Option('--compression <how>', 'compression').choices(['gzip', 'none']).default('gzip'))
    .option('--credentials <file>', 'a file with USER:PASSWORD for the registry, readable by you alone')
    .option('--plain-http', 'ask the registry over http')
    .option('--sign', "sign it with the fleet's image key")
    .addHelpText(
      'after',
      example(
        'wherry image from-oci docker://nginx:1.27 --platform linux/arm64 --name example.com/nginx -o nginx.aci --sign',
        'docker save app:1.0 | cat > app.tar; wherry image from-oci app.tar --name example.com/app -o app.aci',
      ),
    )
    .action(async (source: string, options: FromOciFlags, command: Command) => {
      const { imageFromOci } = await import('./commands/image-oci.ts');
      await imageFromOci(makeContext(command.optsWithGlobals()), source, options);
    });
  image
    .command('to-oci <file>')
    .description('write an image as an OCI layout with one layer: a directory, or one file that ends in .tar')
    .requiredOption('-o, --output <path>', 'the directory or the .tar file to make')
    .option('--tag <tag>', "its tag in the layout (default: the image's version)")
    .addHelpText(
      'after',
      example(
        'wherry image to-oci web.aci -o web-oci',
        'skopeo copy oci:web-oci:1.0 docker://registry.example/web:1.0',
      ),
    )
    .action(async (file: string, options: { output: string; tag?: string }, command: Command) => {
      const { imageToOci } = await import('./commands/image-oci.ts');
      await imageToOci(makeContext(command.optsWithGlobals()), file, options);
    });
  discovering(
    image
      .command('discover <name>')
      .description(
        'find out where an image lies, NAME[:VERSION][,LABEL=VALUE...], and the keys that its site offers',
      ),
  )
    .addHelpText('after', example('wherry image discover example.com/web:1.0,arch=aarch64'))
    .action(async (name: string, options: DiscoverFlags, command: Command) => {
      const { discoverImage } = await import('./commands/image-discover.ts');
      await discoverImage(makeContext(command.optsWithGlobals()), name, options);
    });
  discovering(
    image
      .command('fetch <names...>')
      .description('find images by name, download them with their signatures, and verify them')
      .option('-o, --output <dir>', 'where to put them', '.')
      .addOption(
        repeatable(
          '--key <file>',
          "armored public key to trust (default: the fleet's image key); repeatable",
        ),
      ),
  )
    .addHelpText(
      'after',
      example('wherry image fetch example.com/web:1.0,arch=aarch64 --key example.asc -o images'),
    )
    .action(async (names: string[], options: FetchFlags, command: Command) => {
      const { fetchImages } = await import('./commands/image-discover.ts');
      await fetchImages(makeContext(command.optsWithGlobals()), names, options);
    });
  image
    .command('validate <files...>')
    .description('check images by every rule of the specification, and say what is allowed but unwise')
    .addHelpText('after', example('wherry image validate web.aci --json'))
    .action(async (files: string[], _options: object, command: Command) => {
      const { validateImages } = await import('./commands/image-contents.ts');
      await validateImages(makeContext(command.optsWithGlobals()), files);
    });
  image
    .command('cat-manifest <file>')
    .description("print an image's manifest as it stands in the archive")
    .option('--pretty', 'indented')
    .addHelpText('after', example('wherry image cat-manifest web.aci | jq .app.exec'))
    .action(async (file: string, options: { pretty?: true }, command: Command) => {
      const { catManifest } = await import('./commands/image-contents.ts');
      await catManifest(makeContext(command.optsWithGlobals()), file, options);
    });
  image
    .command('extract <file> <dir>')
    .description("unpack an image's root file system into a new directory; owners are kept as root only")
    .addHelpText('after', example('wherry image extract web.aci rootfs'))
    .action(async (file: string, directory: string, _options: object, command: Command) => {
      const { extractImage } = await import('./commands/image-contents.ts');
      await extractImage(makeContext(command.optsWithGlobals()), file, directory);
    });
  image
    .command('inspect <file>')
    .description('read an image as a device would and say what it is')
    .option('--files', 'list its files too')
    .addHelpText('after', example('wherry image inspect web.aci --files'))
    .action(async (file: string, options: { files?: true }, command: Command) => {
      const { inspectImage } = await import('./commands/image.ts');
      await inspectImage(makeContext(command.optsWithGlobals()), file, options);
    });
  image
    .command('sign <files...>')
    .description('write FILE.asc: a detached OpenPGP signature')
    .option('--key <file>', "armored private key (default: the fleet's image key)")
    .addHelpText(
      'after',
      example('wherry image sign web.aci', 'gpg --armor --detach-sign web.aci   # does the same'),
    )
    .action(async (files: string[], options: { key?: string }, command: Command) => {
      const { signImages } = await import('./commands/image.ts');
      await signImages(makeContext(command.optsWithGlobals()), files, options);
    });
  image
    .command('verify <files...>')
    .description('read images as a device would and check their signatures')
    .addOption(repeatable('--key <file>', "armored public key (default: the fleet's image key); repeatable"))
    .addHelpText('after', example('wherry image verify web.aci --key images.pub.asc'))
    .action(async (files: string[], options: { key?: string[] }, command: Command) => {
      const { verifyImages } = await import('./commands/image.ts');
      await verifyImages(makeContext(command.optsWithGlobals()), files, options);
    });
}

function addTrust(program: Command, makeContext: MakeContext): void {
  const trust = program
    .command('trust')
    .description('the keys that a device trusts: add one after a look at its fingerprint, list, remove');
  const stores = (command: Command): Command =>
    command
      .option('--directory <dir>', "the store to change, a device's own", '/etc/wherry/trust')
      .option('--system <dir>', "the store that came with the device's software", '/usr/lib/wherry/trust');
  const scoped = (command: Command): Command =>
    stores(command)
      .option('--prefix <name>', 'for images of this name and below it')
      .option('--root', 'for any image')
      .option('--deploy', 'for commands');
  discovering(
    scoped(trust.command('add [files...]').description('trust keys, after a look at their fingerprints')),
  )
    .addOption(
      repeatable('--fingerprint <hex>', 'trust the key with this fingerprint without asking; repeatable'),
    )
    .option('--discover <name>', 'keys that the site of an image offers, such as example.com/web')
    .option('--yes', 'trust whatever the files hold')
    .addHelpText('after', example('wherry trust add team.asc --prefix example.com/web'))
    .action(async (files: string[], options: AddFlags, command: Command) => {
      const { addTrust: add } = await import('./commands/trust.ts');
      await add(makeContext(command.optsWithGlobals()), files, options);
    });
  stores(
    trust
      .command('list')
      .description('show the keys of both stores, what they are for, and what is wrong with them'),
  )
    .addHelpText('after', example('wherry trust list --json'))
    .action(async (options: TrustFlags, command: Command) => {
      const { listTrust } = await import('./commands/trust.ts');
      await listTrust(makeContext(command.optsWithGlobals()), options);
    });
  scoped(
    trust
      .command('remove <fingerprint>')
      .description("no longer trust a key; one of the system's store is masked by an empty file"),
  )
    .addHelpText('after', example('wherry trust remove 0123456789ABCDEF0123456789ABCDEF01234567'))
    .action(async (fingerprint: string, options: ScopeFlags, command: Command) => {
      const { removeTrust } = await import('./commands/trust.ts');
      await removeTrust(makeContext(command.optsWithGlobals()), fingerprint, options);
    });
}

/** Options of commands that find images by their names. */
function discovering(command: Command): Command {
  return command
    .option('--auth <file>', 'credentials for web servers (TOML), readable by you alone')
    .option('--ca <file>', "certificates (PEM) to trust in place of the system's")
    .option('--http', 'ask over http where https fails')
    .addOption(
      repeatable(
        '--connect-to <host:port:to:port>',
        'connect to another place for a host and port; repeatable',
      ),
    );
}

function addDeploy(program: Command, makeContext: MakeContext): void {
  const waiting = (command: Command) =>
    command
      .option('--timeout <seconds>', 'how long to wait for each device', seconds, 600)
      .option('--no-wait', 'only publish');
  discovering(
    waiting(
      program
        .command('deploy <devices...>')
        .description('command devices to run exactly these pods, in place of what they run now')
        .addOption(
          repeatable(
            '--run <pod=image>',
            'a pod of one app that runs what the image says: a file, or a name to be discovered; repeatable',
          ),
        )
        .addOption(
          repeatable('--pod <pod=file>', 'a pod manifest (JSON) whose apps name their images; repeatable'),
        )
        .addOption(repeatable('--image <file>', 'an .aci file that a pod manifest names; repeatable'))
        .option('--stop-all', 'run no pods')
        .option('--memory <quantity>', 'memory limit of each --run pod, for example 64Mi')
        .option('--cpu <quantity>', 'CPU limit of each --run pod, for example 500m')
        .option('--tasks <count>', 'limit of processes and threads of each --run pod')
        .addOption(
          repeatable('--key <file>', 'armored public key to trust for images found by name; repeatable'),
        )
        .option('--base-url <url>', 'where devices find the images, in place of the one in fleet.toml')
        .option('--probation <seconds>', 'how long the pods must stay healthy', seconds)
        .option('--best-effort', 'run the pods although a device cannot enforce a limit'),
    ),
  )
    .addHelpText(
      'after',
      example(
        'wherry deploy crane-7 --run web=web.aci --memory 64Mi --cpu 500m',
        'wherry deploy crane-7 crane-8 --pod web=web.json --image nginx.aci --image php.aci',
        'wherry deploy crane-7 --stop-all',
      ),
    )
    .action(async (devices: string[], options: DeployFlags, command: Command) => {
      const { deploy } = await import('./commands/deploy.ts');
      await deploy(makeContext(command.optsWithGlobals()), devices, options);
    });
  waiting(
    program
      .command('rollback <devices...>')
      .description('command devices to run again what they ran before, as a new version')
      .option(
        '--to <version>',
        'the version whose pods to run (default: the last good one before the present)',
        count,
      ),
  )
    .addHelpText('after', example('wherry rollback crane-7', 'wherry rollback crane-7 --to 12'))
    .action(async (devices: string[], options: WaitFlags & { to?: number }, command: Command) => {
      const { rollback } = await import('./commands/deploy.ts');
      await rollback(makeContext(command.optsWithGlobals()), devices, options);
    });
}

function addStatus(program: Command, makeContext: MakeContext): void {
  program
    .command('status [devices...]')
    .description('show what devices say of themselves: version, pods, memory against limits, refusals')
    .option('--watch', 'go on showing changes until Ctrl-C')
    .addHelpText(
      'after',
      example('wherry status', 'wherry status crane-7 --watch', 'wherry status --json | jq .'),
    )
    .action(async (devices: string[], options: { watch?: true }, command: Command) => {
      const { status } = await import('./commands/status.ts');
      await status(makeContext(command.optsWithGlobals()), devices, options);
    });
}

function addDevice(program: Command, makeContext: MakeContext): void {
  program
    .command('logs <pod> [app]')
    .description("show a pod's output from the journal of this device, or of another one by ssh")
    .option('-f, --follow', 'go on showing new lines')
    .option('-n, --lines <count>', 'how many of the newest lines', count)
    .option('--since <time>', 'as journalctl takes it, for example "1 hour ago"')
    .option('--ssh <host>', 'run journalctl there')
    .addHelpText('after', example('wherry logs web -f', 'wherry logs web nginx -n 50 --ssh root@crane-7'))
    .action(async (pod: string, app: string | undefined, options: LogFlags, command: Command) => {
      const { logs } = await import('./commands/logs.ts');
      await logs(makeContext(command.optsWithGlobals()), pod, app, options);
    });
  program
    .command('gc')
    .description('on a device: delete images, downloads and pods that no deployment needs, now')
    .addHelpText('after', example('wherry gc'))
    .action(async (_options: object, command: Command) => {
      const { collectGarbage } = await import('./commands/gc.ts');
      await collectGarbage(makeContext(command.optsWithGlobals()));
    });
}

function addDev(program: Command, makeContext: MakeContext): void {
  program
    .command('dev')
    .description(
      'run a broker and an image server here, for trying things out; makes a fleet if there is none',
    )
    .option('--host <address>', 'address to listen on; 0.0.0.0 lets devices elsewhere in', '127.0.0.1')
    .option('--broker-port <port>', 'MQTT port, 0 for any', port, 1883)
    .option('--image-port <port>', 'HTTP port, 0 for any', port, 8080)
    .addHelpText('after', example('wherry dev --host 0.0.0.0'))
    .action(async (options: DevFlags, command: Command) => {
      const { dev } = await import('./commands/dev.ts');
      await dev(makeContext(command.optsWithGlobals()), options);
    });
}

function example(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`;
}

function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allCommands)];
}

function repeatable(flags: string, description: string): Option {
  const collect = (value: string, before: readonly string[] | undefined) => [...(before ?? []), value];
  return new Option(flags, description).argParser(collect);
}

const seconds = wholeNumber(0, 86_400, 'seconds');
const count = wholeNumber(1, Number.MAX_SAFE_INTEGER, 'a whole number from 1');
const port = wholeNumber(0, 65_535, 'a port');

function wholeNumber(min: number, max: number, what: string): (text: string) => number {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
    if (!(value >= min && value <= max)) throw new InvalidArgumentError(`It takes ${what} up to ${max}.`);
    return value;
  };
}
