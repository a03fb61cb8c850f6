import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { hostArch, type DebianArch } from '../cross/index.ts';

/** The contents of a file of `board-configs/`. Every field is required unless noted otherwise. */
export type BoardConfig = EmulatedConfig | NativeConfig;

type CommonConfig = {
  /** The name users type; the same as the file's. */
  readonly name: string;
  readonly description: string;
  readonly suite: string;
  /** Names of lists in `board-configs/packages.json`, which are combined. */
  readonly packageSets: readonly string[];
  /** `process.versions.modules` of the suite's Node: which native addon the board loads. */
  readonly nodeAbi: number;
};

/** A container of this machine's own architecture and kernel. */
export type NativeConfig = CommonConfig & {
  readonly kind: 'native';
  /** This machine's architecture. The file does not contain it. */
  readonly arch: DebianArch;
};

/** A machine of QEMU. */
export type EmulatedConfig = CommonConfig & {
  readonly kind: 'emulated';
  /** Debian's name of the architecture. */
  readonly arch: 'arm64' | 'armhf';
  /** QEMU's `-M`, `-cpu`, `-smp` and `-m`. */
  readonly machine: string;
  /** `gic-version` of the machine `virt`, whose default some CPUs cannot use. */
  readonly gicVersion?: number;
  readonly cpu: string;
  readonly smp: number;
  readonly memoryMiB: number;
  /** `verity`: its ext4 can seal files (fs-verity). */
  readonly disk: { readonly bus: 'virtio-mmio'; readonly sizeMiB: number; readonly verity?: boolean };
  readonly network: 'virtio-mmio';
  /** The serial console's device name in Linux. */
  readonly console: string;
  readonly kernelPackage: string;
  /** File name of a device tree in the kernel package; undefined: QEMU generates one. */
  readonly dtb?: string;
  /** Whether the CPU runs 32-bit programs; true unless declared. */
  readonly runs32Bit?: boolean;
};

export type PackageSets = Readonly<Record<string, readonly string[]>>;

/**
 * An invalid file of `board-configs/`; the message names the file and the field.
 */
export class BoardConfigError extends Error {
  override readonly name = 'BoardConfigError';
}

/** Returns the fault of a field's value, or undefined. */
type Check = (value: unknown) => string | undefined;

const text =
  (pattern: RegExp, what: string): Check =>
  (value) =>
    typeof value === 'string' && pattern.test(value) ? undefined : `must be ${what}`;
const integer =
  (min: number, max: number): Check =>
  (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
      ? undefined
      : `must be a whole number from ${min} to ${max}`;
const oneOf =
  (...allowed: string[]): Check =>
  (value) =>
    typeof value === 'string' && allowed.includes(value)
      ? undefined
      : `must be one of: ${allowed.join(', ')}`;
const boolean: Check = (value) => (typeof value === 'boolean' ? undefined : 'must be true or false');
const names: Check = (value) =>
  Array.isArray(value) &&
  value.length > 0 &&
  new Set(value).size === value.length &&
  value.every((item) => typeof item === 'string' && /^[a-z0-9][a-z0-9+.-]+$/.test(item))
    ? undefined
    : 'must be a list of different names in lower case';

type Shape = { readonly [field: string]: Check | Shape };

const commonShape: Shape = {
  kind: oneOf('emulated', 'native'),
  name: text(/^[a-z0-9][a-z0-9-]{0,63}$/, 'a name of lower-case letters, digits and dashes'),
  description: text(/^.{1,200}$/, 'one line of at most 200 characters'),
  suite: text(/^[a-z]{1,32}$/, 'the name of a Debian suite'),
  packageSets: names,
  nodeAbi: integer(100, 999),
};

/**
 * The values become parts of QEMU's arguments, where a comma would start a new option. So only a
 * few characters are allowed.
 */
const emulatedShape: Shape = {
  ...commonShape,
  arch: oneOf('arm64', 'armhf'),
  machine: text(/^[a-z0-9.-]{1,64}$/, 'the name of a QEMU machine'),
  gicVersion: integer(2, 4),
  cpu: text(/^[a-z0-9-]{1,64}$/, 'the name of a QEMU CPU'),
  smp: integer(1, 8),
  memoryMiB: integer(128, 8192),
  disk: { bus: oneOf('virtio-mmio'), sizeMiB: integer(512, 65_536), verity: boolean },
  network: oneOf('virtio-mmio'),
  console: text(/^tty[A-Z]+[0-9]$/, 'a serial console such as ttyAMA0'),
  kernelPackage: text(/^linux-image-[a-z0-9.-]+$/, 'a package named linux-image-…'),
  dtb: text(/^[a-z0-9.-]+\.dtb$/, 'a file name that ends in .dtb'),
  runs32Bit: boolean,
};
const optional = new Set(['dtb', 'disk.verity', 'gicVersion', 'runs32Bit']);

/**
 * Reads one board's declaration.
 * @param json the file's text
 * @param file its name, for messages
 * @throws BoardConfigError for text that is not JSON, and for a missing, unknown or wrong field
 */
export function parseBoardConfig(json: string, file: string): BoardConfig {
  const value = parseJson(json, file);
  const native = isRecord(value) && value['kind'] === 'native';
  checkShape(value, native ? commonShape : emulatedShape, file, '');
  // The shape has just been checked field by field.
  if (!native) return value as EmulatedConfig;
  const arch = hostArch();
  if (arch === undefined)
    throw new BoardConfigError(`${file}: no package of wherry is made for a machine of ${process.arch}`);
  return { ...(value as Omit<NativeConfig, 'arch'>), arch };
}

/** Reads `packages.json`: names of lists to lists of package names. @throws BoardConfigError */
export function parsePackageSets(json: string, file: string): PackageSets {
  const value = parseJson(json, file);
  if (!isRecord(value)) throw new BoardConfigError(`${file}: must be an object`);
  for (const [name, list] of Object.entries(value)) {
    const wrong = names(list);
    if (wrong !== undefined) throw new BoardConfigError(`${file}: ${name}: ${wrong}`);
  }
  return value as PackageSets;
}

/**
 * Every package a board has: its sets and the kernel of an emulated one, sorted, each once.
 * @throws BoardConfigError
 */
export function packagesOf(config: BoardConfig, sets: PackageSets): string[] {
  const all = config.packageSets.flatMap((name) => {
    const set = Object.hasOwn(sets, name) ? sets[name] : undefined;
    if (set === undefined)
      throw new BoardConfigError(`${config.name}.json: packageSets: no set is called ${name}`);
    return set;
  });
  return [...new Set([...all, ...(config.kind === 'emulated' ? [config.kernelPackage] : [])])].sort();
}

const configDir = join(import.meta.dirname, '../board-configs');

/** The names of all boards. */
export function boardNames(): string[] {
  return readdirSync(configDir)
    .filter((file) => file.endsWith('.json') && file !== 'packages.json')
    .map((file) => file.slice(0, -'.json'.length))
    .sort();
}

/**
 * Loads a board by name, with its packages.
 * @throws BoardConfigError that lists the boards if there is none
 */
export function loadBoardConfig(name: string): { config: BoardConfig; packages: string[] } {
  if (!boardNames().includes(name)) {
    throw new BoardConfigError(`There is no board called "${name}"; there are: ${boardNames().join(', ')}.`);
  }
  const config = parseBoardConfig(readFileSync(join(configDir, `${name}.json`), 'utf8'), `${name}.json`);
  if (config.name !== name)
    throw new BoardConfigError(`${name}.json: name: must be "${name}", as the file is called`);
  const sets = parsePackageSets(readFileSync(join(configDir, 'packages.json'), 'utf8'), 'packages.json');
  return { config, packages: packagesOf(config, sets) };
}

function parseJson(json: string, file: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new BoardConfigError(`${file}: is not JSON: ${String(cause)}`, { cause });
  }
}

function checkShape(value: unknown, shape: Shape, file: string, path: string): void {
  if (!isRecord(value)) throw new BoardConfigError(`${file}: ${path || 'the file'} must be an object`);
  const prefix = path === '' ? '' : `${path}.`;
  for (const key of Object.keys(value)) {
    if (!Object.hasOwn(shape, key))
      throw new BoardConfigError(`${file}: ${prefix}${key}: is not a known field`);
  }
  for (const [key, check] of Object.entries(shape)) {
    const field = value[key];
    if (field === undefined) {
      if (optional.has(`${prefix}${key}`)) continue;
      throw new BoardConfigError(`${file}: ${prefix}${key}: is missing`);
    }
    if (typeof check !== 'function') {
      checkShape(field, check, file, `${prefix}${key}`);
      continue;
    }
    const wrong = check(field);
    if (wrong !== undefined) throw new BoardConfigError(`${file}: ${prefix}${key}: ${wrong}`);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
