import type { Command } from 'commander';
import { Refusal } from '../core/refusal/index.ts';

/**
 * Commands whose code is in the package wherry-operator, with those below them. A device has the
 * package wherry, which knows only their options.
 */
const operatorCommands: readonly string[] = [
  ...['fleet', 'keys', 'deploy', 'rollback', 'countersign', 'rollout', 'status', 'dev', 'sim'],
  ...['build', 'from-oci', 'to-oci', 'discover', 'fetch', 'patch', 'render'].map((verb) => `image ${verb}`),
  ...['validate', 'cat-manifest', 'extract', 'inspect', 'sign'].map((verb) => `image ${verb}`),
  ...['init', 'rotate', 'sign', 'show', 'publish'].map((verb) => `trust root ${verb}`),
  'pod validate',
];

const headings = {
  operator: 'For an operator, in the package wherry-operator:',
  both: 'For both, partly in the package wherry-operator:',
  device: 'On a device:',
};

/** Sorts the commands below `program` in the help by the package that their code is in. */
export function groupByPackage(program: Command): void {
  for (const command of program.commands) {
    command.helpGroup(headings[packageOf(command)]);
    groupByPackage(command);
  }
}

/** Whether the whole command, or a part of it, is for an operator. */
function packageOf(command: Command): keyof typeof headings {
  if (isOperators(command)) return 'operator';
  if (command.commands.length === 0) return 'device';
  const kinds = new Set(command.commands.map(packageOf));
  const [kind = 'device'] = kinds;
  return kinds.size === 1 ? kind : 'both';
}

function isOperators(command: Command): boolean {
  const path = pathOf(command);
  return operatorCommands.some((one) => path === one || path.startsWith(`${one} `));
}

/** `image build`, without the name of the program. */
function pathOf(command: Command): string {
  const { parent } = command;
  if (parent === null) return '';
  return `${pathOf(parent)} ${command.name()}`.trim();
}

/**
 * The refusal of a command whose code is in the package wherry-operator, which is not installed, or
 * is of another version: the names of its files contain digests of their content.
 *
 * @param error what happened
 */
export function missingPackage(error: unknown, command: Command): Refusal | undefined {
  const isMissing =
    error instanceof Error &&
    (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND' &&
    /'\.\/operator-[A-Z0-9]{8}\.js'/.test(error.message);
  if (!isMissing) return undefined;
  const name = `wherry ${pathOf(command)}`;
  // Some commands need it only with an option or without one.
  const what = isOperators(command) ? name : `this use of ${name}`;
  const version = process.env['WHERRY_VERSION'] ?? '';
  return new Refusal(
    'device-unsupported',
    `${what} is not installed here: install the package wherry-operator ${version}`.trim(),
    { cause: error },
  );
}
