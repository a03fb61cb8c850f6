import type { Command } from 'commander';
import type { PodValidateFlags } from '../flags.ts';
import { example, type MakeContext, repeatable } from './options.ts';

const changes = {
  stop: 'on a device: stop the apps of a pod, until a boot, a start of wherryd or the next deployment',
  start: 'on a device: start the apps of a pod',
  restart: 'on a device: restart the apps of a pod',
} as const;

/** `wherry pod` */
export function addPod(program: Command, makeContext: MakeContext): void {
  const pod = program
    .command('pod')
    .description('pods of this device, which its signed desired state lists, and pods in files')
    .addHelpText('after', example('wherry pod list', 'wherry pod validate web.yaml --image web.aci'));
  pod
    .command('list')
    .description('on a device: show its pods, their apps and the states of these')
    .addHelpText('after', example('wherry pod list', 'wherry pod list --json'))
    .action(async (_options: object, command: Command) => {
      const { listPods } = await import('../commands/device/pod.ts');
      await listPods(makeContext(command.optsWithGlobals()));
    });
  pod
    .command('inspect <pod>')
    .description('on a device: show a pod: its network, its limits, its apps, and what they use')
    .addHelpText('after', example('wherry pod inspect web', 'wherry pod inspect web --json'))
    .action(async (name: string, _options: object, command: Command) => {
      const { showPod } = await import('../commands/device/pod.ts');
      await showPod(makeContext(command.optsWithGlobals()), name);
    });
  for (const change of ['stop', 'start', 'restart'] as const) {
    pod
      .command(`${change} <pod>`)
      .description(changes[change])
      .addHelpText('after', example(`wherry pod ${change} web`))
      .action(async (name: string, _options: object, command: Command) => {
        const { alterPod } = await import('../commands/device/pod.ts');
        await alterPod(makeContext(command.optsWithGlobals()), change, name);
      });
  }
  pod
    .command('validate <file>')
    .description('check a pod manifest (JSON) or a Kubernetes Pod (YAML) as a device would')
    .addOption(
      repeatable('--image <file>', 'an image that its apps use, or a directory of images; repeatable'),
    )
    .option('--name <pod>', 'its name on the device (default: that of the file)')
    .option('--best-effort', 'allow limits that cannot be enforced, as with deploy')
    .addHelpText(
      'after',
      example(
        'wherry pod validate web.json --image web.aci',
        'wherry pod validate web.yaml --image images --json',
      ),
    )
    .action(async (file: string, options: PodValidateFlags, command: Command) => {
      const { validatePod } = await import('../commands/operator/pod-validate.ts');
      await validatePod(makeContext(command.optsWithGlobals()), file, options);
    });
}
