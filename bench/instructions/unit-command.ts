import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** How a unit of the package starts its program. */
export interface UnitCommand {
  /** Options of Node, in order. */
  readonly flags: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** Reads the unit file, so that what is counted is what a device runs. */
export function unitCommand(unit: string): UnitCommand {
  const text = readFileSync(join(import.meta.dirname, '../../cross/debian', unit), 'utf8');
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
