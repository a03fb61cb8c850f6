import type { BusConnection } from './bus-connection.ts';
import { unitObjectPath } from './bus-path.ts';
import type { UnitStatus } from './systemd.ts';

const unitInterface = 'org.freedesktop.systemd1.Unit';
const serviceInterface = 'org.freedesktop.systemd1.Service';

/**
 * Properties of a unit to read besides its states: suffix of its name → interface and properties.
 */
const typedProperties: Readonly<Record<string, readonly [string, readonly string[]]>> = {
  service: [serviceInterface, ['Result', 'NRestarts', 'MainPID', 'ExecMainStatus', 'ControlGroup']],
  mount: ['org.freedesktop.systemd1.Mount', ['Result', 'ControlGroup']],
  slice: ['org.freedesktop.systemd1.Slice', ['ControlGroup']],
};

/**
 * Reads a unit, and thereby loads it. It sends requests for single properties at once: GetAll would
 * make systemd collect and send some 300 properties.
 */
export async function readUnitStatus(bus: BusConnection, unit: string): Promise<UnitStatus> {
  const path = unitObjectPath(unit);
  const get = async (from: string, name: string) => {
    const answer = await bus.call({
      path,
      interface: 'org.freedesktop.DBus.Properties',
      member: 'Get',
      signature: 'ss',
      args: [from, name],
    });
    return [name, variantValue(answer[0])] as const;
  };
  const [typed, names] = typedProperties[unit.slice(unit.lastIndexOf('.') + 1)] ?? ['', []];
  const values = new Map(
    await Promise.all([
      ...['LoadState', 'ActiveState', 'SubState'].map((name) => get(unitInterface, name)),
      ...names.map((name) => get(typed, name)),
    ]),
  );
  const text = (name: string) => {
    const value = values.get(name);
    return typeof value === 'string' ? value : undefined;
  };
  const count = (name: string) => {
    const value = values.get(name);
    return typeof value === 'number' ? value : undefined;
  };
  const mainPid = count('MainPID');
  return {
    name: unit,
    loadState: text('LoadState') ?? '',
    activeState: text('ActiveState') ?? '',
    subState: text('SubState') ?? '',
    ...member('result', text('Result')),
    ...member('restarts', count('NRestarts')),
    ...member('mainPid', mainPid === 0 ? undefined : mainPid),
    ...member('execMainStatus', count('ExecMainStatus')),
    ...member('controlGroup', text('ControlGroup')),
  };
}

/**
 * The result of a service in a PropertiesChanged signal (D-Bus specification, `sa{sv}as`);
 * undefined when it has none, and for other units.
 */
export function toldResult([from, changed]: readonly unknown[]): string | undefined {
  if (from !== serviceInterface || !Array.isArray(changed)) return undefined;
  const [, variant] = (changed as readonly unknown[][]).find(([name]) => name === 'Result') ?? [];
  const value = variantValue(variant);
  return typeof value === 'string' ? value : undefined;
}

/** A unit of the answer to ListUnitsByPatterns, `a(ssssssouso)`. */
export function listedUnit(fields: readonly unknown[]): UnitStatus {
  const [name = '', , loadState = '', activeState = '', subState = ''] = fields.map(String);
  return { name, loadState, activeState, subState };
}

/** The codec returns a variant as [type, [value]]. */
function variantValue(variant: unknown): unknown {
  const inner: unknown = Array.isArray(variant) ? variant[1] : undefined;
  return Array.isArray(inner) ? inner[0] : undefined;
}

function member<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}
