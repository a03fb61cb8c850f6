import type { BusCall, BusConnection } from './bus-connection.ts';
import { unitObjectPath } from './bus-path.ts';
import type { UnitStatus } from './systemd.ts';

const serviceInterface = 'org.freedesktop.systemd1.Service';
/** EXIT_CREDENTIALS of systemd.exec(5). */
const exitCredentials = 243;

/**
 * Properties of a unit to read besides its states: suffix of its name → interface, and the
 * properties with their values in a unit that is not loaded.
 */
const typedProperties: Readonly<Record<string, readonly [string, Readonly<Record<string, unknown>>]>> = {
  service: [
    serviceInterface,
    { Result: 'success', NRestarts: 0, MainPID: 0, ExecMainStatus: 0, ControlGroup: '' },
  ],
  mount: ['org.freedesktop.systemd1.Mount', { Result: 'success', ControlGroup: '' }],
  slice: ['org.freedesktop.systemd1.Slice', { ControlGroup: '' }],
};

/**
 * Reads a unit. One that is not loaded is inactive. Its properties are not requested: systemd
 * would load and drop it, and signal that to all, for each of them. Of a loaded unit it sends
 * requests for single properties at once: GetAll would make systemd collect and send some 300.
 */
export async function readUnitStatus(bus: BusConnection, unit: string): Promise<UnitStatus> {
  const [typed, unloaded] = typedProperties[unit.slice(unit.lastIndexOf('.') + 1)] ?? ['', {}];
  const [listed] = await listUnits(bus, [unit]);
  const values = new Map(Object.entries(unloaded));
  if (listed !== undefined) {
    await Promise.all(
      Object.keys(unloaded).map(async (name) => {
        values.set(name, await property(bus, unit, typed, name));
      }),
    );
  }
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
    ...(listed ?? { name: unit, activeState: 'inactive', subState: 'dead' }),
    ...member('result', text('Result')),
    ...member('restarts', count('NRestarts')),
    ...member('mainPid', mainPid === 0 ? undefined : mainPid),
    ...member('execMainStatus', count('ExecMainStatus')),
    ...member('controlGroup', text('ControlGroup')),
  };
}

async function property(bus: BusConnection, unit: string, typed: string, name: string): Promise<unknown> {
  const answer = await bus.call({
    path: unitObjectPath(unit),
    interface: 'org.freedesktop.DBus.Properties',
    member: 'Get',
    signature: 'ss',
    args: [typed, name],
  });
  return variantValue(answer[0]);
}

/** Names of the units that `unit` requires and that are not active. */
export async function unmetUnits(bus: BusConnection, unit: string): Promise<readonly string[]> {
  const needs = await Promise.all(
    ['Requires', 'BindsTo'].map((name) => property(bus, unit, 'org.freedesktop.systemd1.Unit', name)),
  );
  const names = needs.flat().map(String);
  // Without a pattern systemd lists all units.
  const listed = names.length === 0 ? [] : await listUnits(bus, names);
  return listed.filter(({ activeState }) => activeState !== 'active').map(({ name }) => name);
}

/**
 * The loaded units that match one of these shell patterns, in which a backslash stands for itself.
 */
export async function listUnits(
  bus: BusConnection,
  patterns: readonly string[],
): Promise<readonly UnitStatus[]> {
  const call = managerCall('ListUnitsByPatterns', 'asas', [[], patterns]);
  const [units] = await bus.call(call);
  return Array.isArray(units) ? (units as readonly unknown[][]).map(listedUnit) : [];
}

/**
 * The result of a service in a PropertiesChanged signal (D-Bus specification, `sa{sv}as`);
 * undefined when it has none, and for other units.
 */
export function toldResult(args: readonly unknown[]): string | undefined {
  const value = changedValue(args, 'Result');
  return typeof value === 'string' ? value : undefined;
}

/** The new value of a property of a service. */
function changedValue([from, changed]: readonly unknown[], property: string): unknown {
  if (from !== serviceInterface || !Array.isArray(changed)) return undefined;
  const [, variant] = (changed as readonly unknown[][]).find(([name]) => name === property) ?? [];
  return variantValue(variant);
}

/** Whether a PropertiesChanged signal reports that systemd could not pass on a credential. */
export function lacksCredentials(args: readonly unknown[]): boolean {
  return changedValue(args, 'ExecMainStatus') === exitCredentials;
}

/** A unit of the answer to ListUnitsByPatterns, `a(ssssssouso)`. */
function listedUnit(fields: readonly unknown[]): UnitStatus {
  const [name = '', , , activeState = '', subState = '', , , , job = ''] = fields.map(String);
  return { name, activeState, subState, ...(job.includes('start') ? { isToStart: true } : {}) };
}

/** The codec returns a variant as [type, [value]]. */
function variantValue(variant: unknown): unknown {
  const inner: unknown = Array.isArray(variant) ? variant[1] : undefined;
  return Array.isArray(inner) ? inner[0] : undefined;
}

function member<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}

/** A call of systemd's manager. `signature` describes `args`. */
export function managerCall(member: string, signature?: string, args?: readonly unknown[]): BusCall {
  return {
    path: '/org/freedesktop/systemd1',
    interface: 'org.freedesktop.systemd1.Manager',
    member,
    ...(signature === undefined ? {} : { signature, args: args ?? [] }),
  };
}
