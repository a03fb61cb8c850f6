import type { Command } from 'commander';
import { example, type MakeContext } from './options.ts';

const changes = {
  stop: 'on a device: stop the apps of a pod, until a boot, a start of wherryd or the next deployment',
  start: 'on a device: start the apps of a pod',
  restart: 'on a device: restart the apps of a pod',
} as const;

/** `wherry pod` */
export function addPod(program: Command, makeContext: MakeContext): void {
  const pod = program
    .command('pod')
    .description('pods of this device')
    .addHelpText('after', example('wherry pod list'));
  pod
    .command('list')
    .description('on a device: show its pods, their apps and the states of these')
    .addHelpText('after', example('wherry pod list', 'wherry pod list --json'))
    .action(async (_options: object, command: Command) => {
      const { listPods } = await import('../commands/device/pod.ts');
      await listPods(makeContext(command.optsWithGlobals()));
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
}
