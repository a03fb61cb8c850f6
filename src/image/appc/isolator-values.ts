import { pointerTo, SchemaFault, unexpected } from './fault.ts';
import { boolean, Fields, isObject, listOf, present, text, textThat, type Read } from './fields.ts';
import { exactThousandths, quantity, wholeUnits } from './quantity.ts';

const maxWholeUnits = (1n << 63n) - 1n;

/**
 * A limit in whole units. Less than one would prevent the app from running, so it is refused as a
 * mistake.
 */
export const positiveUnits: Read<bigint> = (value, at) => {
  const milli = quantity(value, at);
  if (milli > 0n && milli < 1000n) throw tooSmall(at, value, 'less than one unit');
  const units = wholeUnits(milli);
  if (units < 1n || units > maxWholeUnits) throw unexpected(at, 'a quantity from 1 to 2^63-1', value);
  return units;
};

/** No program starts in less: the runtime that starts it needs more by itself. */
const leastMemoryBytes = 512n * 1024n;

/** Bytes of memory for an app or a pod. */
export const memoryLimit: Read<bigint> = (value, at) => {
  const bytes = positiveUnits(value, at);
  if (bytes < leastMemoryBytes) throw tooSmall(at, value, `${bytes} bytes, in which no program starts`);
  return bytes;
};

/** Bytes of requested memory; zero is valid, less than one byte is a mistake. */
export const memoryRequest: Read<bigint> = (value, at) => {
  const milli = quantity(value, at);
  if (milli > 0n && milli < 1000n) throw tooSmall(at, value, 'less than one byte');
  return units(value, at);
};

/** Suggests what was probably meant: `16m` is 16 MiB in other tools, and milli-units here. */
function tooSmall(at: string, value: unknown, is: string): SchemaFault {
  const written = typeof value === 'string' ? value : String(value);
  const [, number = ''] = /^\+?([\d.]+)[num]?$/.exec(written) ?? [];
  const meant = number === '' ? '' : `; write "${number}M" for 10^6 or "${number}Mi" for 2^20`;
  return new SchemaFault(at, `${JSON.stringify(written)} is ${is}${meant}`);
}

const units: Read<bigint> = (value, at) => {
  const read = wholeUnits(quantity(value, at));
  if (read > maxWholeUnits) throw unexpected(at, 'a quantity up to 2^63-1', value);
  return read;
};

export const milliCores: Read<bigint> = (value, at) => {
  const milli = quantity(value, at);
  if (milli > 1_000_000_000n) throw unexpected(at, 'a number of cores up to a million', value);
  return milli;
};

/**
 * A limit of CPU time. Less than a thousandth of a core is refused: rounding it up would allow too
 * much.
 */
export const positiveMilliCores: Read<bigint> = (value, at) => {
  const milli = milliCores(value, at);
  if (milli === 0n) throw unexpected(at, 'more than 0 cores', value);
  const [numerator, denominator] = exactThousandths(value, at);
  if (numerator < denominator) {
    const written = typeof value === 'string' ? value : JSON.stringify(value);
    const is = 'less than a thousandth of a core; write "500m" for half a core';
    throw new SchemaFault(at, `${JSON.stringify(written)} is ${is}`);
  }
  return milli;
};

/** `{"request": q, "limit": q}`: at least one of them, and `default` only if it is false. */
export function requestAndLimit(
  request: Read<bigint>,
  limit: Read<bigint>,
): Read<{ request?: bigint; limit?: bigint }> {
  return (value, at) => {
    const fields = new Fields(value, at, ['request', 'limit', 'default']);
    if (fields.flag('default')) throw unexpected(pointerTo(at, 'default'), 'false or no "default"', true);
    const read = {
      ...present('request', fields.optional('request', request)),
      ...present('limit', fields.optional('limit', limit)),
    };
    if (read.request === undefined && read.limit === undefined) {
      throw new SchemaFault(at, 'expected a "limit" or a "request"');
    }
    return read;
  };
}

/**
 * `{"default": true, "limit": q}`: a limit for every device or interface; there is no other form.
 */
export const defaultLimit: Read<bigint> = (value, at) => {
  const fields = new Fields(value, at, ['default', 'limit']);
  if (!fields.required('default', boolean)) throw unexpected(pointerTo(at, 'default'), 'true', false);
  return fields.required('limit', positiveUnits);
};

/** A list of names, not empty; a doubled name counts once. */
export function nameSet(name: Read<string>): Read<readonly string[]> {
  return (value, at) => {
    const names = listOf(name)(value, at);
    if (names.length === 0) throw new SchemaFault(at, 'expected at least one name, found an empty list');
    return [...new Set(names)];
  };
}

export const capabilityName = textThat(
  (name): name is string => /^CAP_[A-Z0-9_]{1,60}$/.test(name),
  'a capability such as "CAP_KILL"',
);

/**
 * Names of system calls and scoped wildcards; `@appc.io/` is the specification's own, which defines
 * one for each set.
 */
export function callName(wildcard: string): Read<string> {
  const expected = `a system call such as "chmod" or a wildcard such as "${wildcard}"`;
  return textThat(
    (name): name is string =>
      /^(?:[A-Za-z0-9_]{1,64}|@[A-Za-z0-9._-]{1,64}(?:\/[A-Za-z0-9._-]{1,64}){1,4})$/.test(name) &&
      (!name.startsWith('@appc.io/') || name === wildcard),
    expected,
  );
}

export const errnoName = textThat(
  (name): name is string => name === '' || /^E[A-Z0-9]{1,31}$/.test(name),
  'the name of an error such as "EPERM", or ""',
);

export const contextPart = textThat(
  (part): part is string => /^[^\s:\0]{1,256}$/.test(part),
  'a part of an SELinux context: not empty, without a colon',
);
export const contextLevel = textThat(
  (level): level is string => /^[^\s\0]{1,1024}$/.test(level),
  'the level of an SELinux context such as "s0"',
);
export const profileName = textThat(
  // The name is written to a file of the kernel, one line.
  (name): name is string => /^[^\x00-\x1f\x7f]{1,256}$/.test(name),
  'the name of an AppArmor profile',
);

export const sysctlSettings: Read<ReadonlyMap<string, string>> = (value, at) => {
  if (!isObject(value)) throw unexpected(at, 'an object of keys and strings', value);
  const settings = new Map<string, string>();
  for (const [key, member] of Object.entries(value)) {
    // A key is a path below /proc/sys with dots or slashes; it must not contain `..` or a line end.
    if (key.length > 256 || !/^[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_:@-]+)*$/.test(key)) {
      throw new SchemaFault(
        pointerTo(at, key),
        'expected the name of a kernel parameter such as net.ipv4.tcp_fin_timeout',
      );
    }
    const setting = text(member, pointerTo(at, key));
    // Tabs separate the fields of some parameters.
    if (setting.length < 1 || setting.length > 1024 || /[\x00-\x08\x0a-\x1f\x7f]/.test(setting)) {
      throw unexpected(pointerTo(at, key), 'one line of 1 to 1024 characters', setting);
    }
    settings.set(key, setting);
  }
  return settings;
};
