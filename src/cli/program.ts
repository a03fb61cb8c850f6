import { Command } from 'commander';
import { groupByPackage } from './operator-part.ts';
import { addDeploy, addStatus } from './syntax/deploy.ts';
import { addDev, addDevice, addTop } from './syntax/device.ts';
import { addEnrol } from './syntax/enrol.ts';
import { addExec } from './syntax/exec.ts';
import { addFleet, addKey, addKeys } from './syntax/fleet.ts';
import { addHolds } from './syntax/hold.ts';
import { addImage } from './syntax/image.ts';
import { addNetwork } from './syntax/network.ts';
import type { MakeContext } from './syntax/options.ts';
import { addPod } from './syntax/pod.ts';
import { addRollout } from './syntax/rollout.ts';
import { addSim } from './syntax/sim.ts';
import { addTrust } from './syntax/trust.ts';
import { addVolume } from './syntax/volume.ts';
import type { Terminal } from './terminal.ts';

/**
 * The command line for commander: names, options and help, from syntax/. The code of a command is
 * in commands/ and is loaded when it runs, so that `wherry status` does not load OpenPGP or a web
 * server.
 */
export function buildProgram(terminal: Terminal, makeContext: MakeContext): Command {
  const program = new Command('wherry')
    .description('Build and sign images, command a fleet of devices, and see what they do.')
    .version(process.env['WHERRY_VERSION'] ?? 'development', '--version', 'show the version')
    .option('--fleet <dir>', 'the fleet directory (default: $WHERRY_FLEET, or ./fleet)')
    .option('--json', 'results for programs, errors too')
    .helpOption('-h, --help', 'show this help')
    .showHelpAfterError(false)
    .addHelpText('after', exitCodes);
  addFleet(program, makeContext);
  addKeys(program, makeContext);
  addKey(program, makeContext);
  addEnrol(program, makeContext);
  addImage(program, makeContext);
  addTrust(program, makeContext);
  addDeploy(program, makeContext);
  addRollout(program, makeContext);
  addStatus(program, makeContext);
  addDevice(program, makeContext);
  addExec(program, makeContext);
  addPod(program, makeContext);
  addNetwork(program, makeContext);
  addTop(program, makeContext);
  addHolds(program, makeContext);
  addVolume(program, makeContext);
  addDev(program, makeContext);
  addSim(program, makeContext);
  groupByPackage(program);
  for (const command of allCommands(program)) {
    command.exitOverride();
    command.helpCommand(false);
    // Else a required option that is missing hides one that is misspelt.
    const parse = command.parseOptions.bind(command);
    command.parseOptions = (args) => {
      const parsed = parse(args);
      if (parsed.unknown.length > 0) for (const option of command.options) option.mandatory = false;
      return parsed;
    };
    command.configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      // Errors are reported in one place, in one style (failure.ts).
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
 129, 130, 143  ended by SIGHUP, Ctrl-C (SIGINT) or SIGTERM
exec exits with the status of its program.

A first fleet:
  wherry fleet init harbour
  wherry dev
  wherry image build rootfs --name example.com/web --label arch=aarch64 --exec /bin/web -o web.aci --sign
  wherry deploy crane-7 --run web=web.aci --memory 64Mi
  wherry status --watch`;

function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allCommands)];
}
