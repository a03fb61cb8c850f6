import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** How a unit of the package starts its program. */
export interface UnitCommand {
  /** Options of Node, in order. */
  readonly flags: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** The unit files, which are beside the programs that they confine. */
const units = join(import.meta.dirname, '../../src/device');

/** Reads the command from the unit file, so that the counted command is that of a device. */
export function unitCommand(unit: string): UnitCommand {
  const file = readdirSync(units, { recursive: true, encoding: 'utf8' }).find(
    (path) => basename(path) === unit,
  );
  if (file === undefined) throw new Error(`there is no unit file ${unit}`);
  const text = readFileSync(join(units, file), 'utf8');
  const words = directive(text, unit, 'ExecStart').split(' ');
  const variables = directive(text, unit, 'Environment').split(' ');
  return {
    flags: words.filter((word) => word.startsWith('--')),
    environment: Object.fromEntries(
      variables.map((variable) => {
        const [name = '', value = ''] = variable.split('=', 2);
        return [name, value];
      }),
    ),
  };
}

function directive(text: string, unit: string, name: string): string {
  const value = new RegExp(`^${name}=(.+)$`, 'm').exec(text)?.[1];
  if (value === undefined) throw new Error(`${unit} has no ${name}=`);
  return value;
}
