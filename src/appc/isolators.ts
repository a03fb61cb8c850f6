import { pointerTo, SchemaFault, unexpected } from './fault.ts';
import { boolean, Fields, integer, isObject, listOf, present, text, textThat, type Read } from './fields.ts';
import { quantity, wholeUnits } from './quantity.ts';
import type { Isolator, JsonValue } from './types.ts';

/** Where an isolator stands: at an app, or at the pod, whose isolators bound those of its apps (ace.md#isolators). */
export type IsolatorScope = 'app' | 'pod';

/**
 * An isolator with its value checked and in the units of the kernel. Quantities are rounded up to whole units, CPU time to
 * thousandths of a core. An absent request means the limit, an absent limit none (ace.md#resource-isolators); at least one
 * of them is there, and a request may exceed the limit, which then bounds it.
 */
export type TypedIsolator =
  | { readonly kind: 'resource/cpu'; readonly requestMilliCores?: bigint; readonly limitMilliCores?: bigint }
  | { readonly kind: 'resource/memory'; readonly requestBytes?: bigint; readonly limitBytes?: bigint }
  | {
      readonly kind: 'resource/block-bandwidth' | 'resource/network-bandwidth';
      readonly limitBytesPerSecond: bigint;
    }
  | { readonly kind: 'resource/block-iops'; readonly limitPerSecond: bigint }
  | {
      readonly kind: 'os/linux/capabilities-retain-set' | 'os/linux/capabilities-remove-set';
      /** Names such as `CAP_KILL`; whether the kernel knows them is seen when the pod is compiled. */
      readonly capabilities: readonly string[];
    }
  | { readonly kind: 'os/linux/no-new-privileges'; readonly enabled: boolean }
  | {
      readonly kind: 'os/linux/seccomp-retain-set' | 'os/linux/seccomp-remove-set';
      /** Names of system calls, and wildcards such as `@appc.io/all`. */
      readonly calls: readonly string[];
      /** What a blocked call returns; absent: the app is killed by SIGSYS. */
      readonly errno?: string;
    }
  | {
      readonly kind: 'os/linux/selinux-context';
      readonly user: string;
      readonly role: string;
      readonly type: string;
      readonly level: string;
    }
  | { readonly kind: 'os/linux/apparmor-profile'; readonly profile: string }
  /** −1000 … 1000 */
  | { readonly kind: 'os/linux/oom-score-adj'; readonly adjustment: number }
  /** 2 … 262144, of 1024 by default */
  | { readonly kind: 'os/linux/cpu-shares'; readonly shares: number }
  | { readonly kind: 'os/unix/sysctl'; readonly settings: ReadonlyMap<string, string> }
  /** Ours: the most processes and threads, 1 … 4194304. */
  | { readonly kind: 'wherry/tasks'; readonly limit: number }
  /** One that no table knows: it is kept, and reported as ignored (ace.md#isolators: MUST). */
  | { readonly kind: 'unknown'; readonly name: string; readonly value: JsonValue };

type KnownKind = Exclude<TypedIsolator['kind'], 'unknown'>;

interface IsolatorRule {
  readonly scopes: readonly IsolatorScope[];
  /** Isolators that may not stand beside it. */
  readonly excludes?: KnownKind;
  readonly read: Read<TypedIsolator>;
}

/** The capabilities of an app without a capability isolator (ace.md#oslinuxcapabilities-remove-set). */
export const defaultCapabilities: readonly string[] = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_NET_BIND_SERVICE',
  'CAP_SETUID',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETFCAP',
  'CAP_SYS_CHROOT',
];

const maxWholeUnits = (1n << 63n) - 1n;

/** A limit in whole units. Zero would keep the app from running at all, so it is taken for a mistake. */
const positiveUnits: Read<bigint> = (value, at) => {
  const units = wholeUnits(quantity(value, at));
  if (units < 1n || units > maxWholeUnits) throw unexpected(at, 'a quantity from 1 to 2^63-1', value);
  return units;
};

const units: Read<bigint> = (value, at) => {
  const read = wholeUnits(quantity(value, at));
  if (read > maxWholeUnits) throw unexpected(at, 'a quantity up to 2^63-1', value);
  return read;
};

const milliCores: Read<bigint> = (value, at) => {
  const milli = quantity(value, at);
  if (milli > 1_000_000_000n) throw unexpected(at, 'a number of cores up to a million', value);
  return milli;
};

const positiveMilliCores: Read<bigint> = (value, at) => {
  const milli = milliCores(value, at);
  if (milli === 0n) throw unexpected(at, 'more than 0 cores', value);
  return milli;
};

/** `{"request": q, "limit": q}`: at least one of them, and `default` only if it is false. */
function requestAndLimit(
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

/** `{"default": true, "limit": q}`: a limit for every device or interface; there is no other form. */
const defaultLimit: Read<bigint> = (value, at) => {
  const fields = new Fields(value, at, ['default', 'limit']);
  if (!fields.required('default', boolean)) throw unexpected(pointerTo(at, 'default'), 'true', false);
  return fields.required('limit', positiveUnits);
};

/** `{"set": […]}`, not empty; doubled names count once. */
function nameSet(name: Read<string>): Read<readonly string[]> {
  return (value, at) => {
    const names = listOf(name)(value, at);
    if (names.length === 0) throw new SchemaFault(at, 'expected at least one name, found an empty list');
    return [...new Set(names)];
  };
}

const capabilityName = textThat(
  (name): name is string => /^CAP_[A-Z0-9_]{1,60}$/.test(name),
  'a capability such as "CAP_KILL"',
);

/** Names of system calls and scoped wildcards; `@appc.io/` is the specification's own, which defines one for each set. */
function callName(wildcard: string): Read<string> {
  const expected = `a system call such as "chmod" or a wildcard such as "${wildcard}"`;
  return textThat(
    (name): name is string =>
      /^(?:[A-Za-z0-9_]{1,64}|@[A-Za-z0-9._-]{1,64}(?:\/[A-Za-z0-9._-]{1,64}){1,4})$/.test(name) &&
      (!name.startsWith('@appc.io/') || name === wildcard),
    expected,
  );
}

const errnoName = textThat(
  (name): name is string => name === '' || /^E[A-Z0-9]{1,31}$/.test(name),
  'the name of an error such as "EPERM", or ""',
);

const contextPart = textThat(
  (part): part is string => /^[^\s:\0]{1,256}$/.test(part),
  'a part of an SELinux context: not empty, without a colon',
);
const contextLevel = textThat(
  (level): level is string => /^[^\s\0]{1,1024}$/.test(level),
  'the level of an SELinux context such as "s0"',
);
const profileName = textThat(
  // The name is written to a file of the kernel, one line.
  (name): name is string => /^[^\x00-\x1f\x7f]{1,256}$/.test(name),
  'the name of an AppArmor profile',
);

const sysctlSettings: Read<ReadonlyMap<string, string>> = (value, at) => {
  if (!isObject(value)) throw unexpected(at, 'an object of keys and strings', value);
  const settings = new Map<string, string>();
  for (const [key, member] of Object.entries(value)) {
    // A key is a path below /proc/sys with dots or slashes; nothing in it may climb or end the line.
    if (key.length > 256 || !/^[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_:@-]+)*$/.test(key)) {
      throw new SchemaFault(
        pointerTo(at, key),
        'expected the name of a kernel parameter such as net.ipv4.tcp_fin_timeout',
      );
    }
    const setting = text(member, pointerTo(at, key));
    // Tabs separate the fields of some parameters.
    if (setting.length > 1024 || /[\x00-\x08\x0a-\x1f\x7f]/.test(setting)) {
      throw unexpected(pointerTo(at, key), 'one line of at most 1024 characters', setting);
    }
    settings.set(key, setting);
  }
  return settings;
};

function capabilitySet(
  kind: 'os/linux/capabilities-retain-set' | 'os/linux/capabilities-remove-set',
): IsolatorRule {
  return {
    scopes: ['app'],
    excludes:
      kind === 'os/linux/capabilities-retain-set'
        ? 'os/linux/capabilities-remove-set'
        : 'os/linux/capabilities-retain-set',
    read: (value, at) => ({
      kind,
      capabilities: new Fields(value, at, ['set']).required('set', nameSet(capabilityName)),
    }),
  };
}

function seccompSet(
  kind: 'os/linux/seccomp-retain-set' | 'os/linux/seccomp-remove-set',
  excludes: KnownKind,
  wildcard: string,
): IsolatorRule {
  return {
    scopes: ['app'],
    excludes,
    read: (value, at) => {
      const fields = new Fields(value, at, ['set', 'errno']);
      const calls = fields.required('set', nameSet(callName(wildcard)));
      const errno = fields.optional('errno', errnoName);
      return { kind, calls, ...present('errno', errno === '' ? undefined : errno) };
    },
  };
}

const both: readonly IsolatorScope[] = ['app', 'pod'];

/** Every isolator that has a meaning here: by its name the scope, what it excludes, and how its value is read. */
const isolatorRules: Readonly<Record<KnownKind, IsolatorRule>> = {
  'resource/cpu': {
    scopes: both,
    read: (value, at) => {
      const { request, limit } = requestAndLimit(milliCores, positiveMilliCores)(value, at);
      return {
        kind: 'resource/cpu',
        ...present('requestMilliCores', request),
        ...present('limitMilliCores', limit),
      };
    },
  },
  'resource/memory': {
    scopes: both,
    read: (value, at) => {
      const { request, limit } = requestAndLimit(units, positiveUnits)(value, at);
      return {
        kind: 'resource/memory',
        ...present('requestBytes', request),
        ...present('limitBytes', limit),
      };
    },
  },
  'resource/block-bandwidth': {
    scopes: both,
    read: (value, at) => ({ kind: 'resource/block-bandwidth', limitBytesPerSecond: defaultLimit(value, at) }),
  },
  'resource/block-iops': {
    scopes: both,
    read: (value, at) => ({ kind: 'resource/block-iops', limitPerSecond: defaultLimit(value, at) }),
  },
  'resource/network-bandwidth': {
    scopes: both,
    read: (value, at) => ({
      kind: 'resource/network-bandwidth',
      limitBytesPerSecond: defaultLimit(value, at),
    }),
  },
  'os/linux/capabilities-retain-set': capabilitySet('os/linux/capabilities-retain-set'),
  'os/linux/capabilities-remove-set': capabilitySet('os/linux/capabilities-remove-set'),
  'os/linux/no-new-privileges': {
    scopes: ['app'],
    read: (value, at) => ({ kind: 'os/linux/no-new-privileges', enabled: boolean(value, at) }),
  },
  'os/linux/seccomp-retain-set': seccompSet(
    'os/linux/seccomp-retain-set',
    'os/linux/seccomp-remove-set',
    '@appc.io/all',
  ),
  'os/linux/seccomp-remove-set': seccompSet(
    'os/linux/seccomp-remove-set',
    'os/linux/seccomp-retain-set',
    '@appc.io/empty',
  ),
  'os/linux/selinux-context': {
    scopes: both,
    read: (value, at) => {
      const fields = new Fields(value, at, ['user', 'role', 'type', 'level']);
      return {
        kind: 'os/linux/selinux-context',
        user: fields.required('user', contextPart),
        role: fields.required('role', contextPart),
        type: fields.required('type', contextPart),
        level: fields.required('level', contextLevel),
      };
    },
  },
  'os/linux/apparmor-profile': {
    scopes: both,
    read: (value, at) => ({
      kind: 'os/linux/apparmor-profile',
      profile: new Fields(value, at, ['profile']).required('profile', profileName),
    }),
  },
  // The next two are in the reference's schema only (schema/types/isolator_linux_specific.go).
  'os/linux/oom-score-adj': {
    scopes: ['app'],
    read: (value, at) => ({ kind: 'os/linux/oom-score-adj', adjustment: integer(-1000, 1000)(value, at) }),
  },
  'os/linux/cpu-shares': {
    scopes: ['app'],
    read: (value, at) => ({ kind: 'os/linux/cpu-shares', shares: integer(2, 262144)(value, at) }),
  },
  'os/unix/sysctl': {
    scopes: ['pod'],
    read: (value, at) => ({ kind: 'os/unix/sysctl', settings: sysctlSettings(value, at) }),
  },
  'wherry/tasks': {
    scopes: both,
    read: (value, at) => {
      const limit = new Fields(value, at, ['limit']).required('limit', positiveUnits);
      if (limit > 4_194_304n) throw unexpected(pointerTo(at, 'limit'), 'at most 4194304 tasks', limit);
      return { kind: 'wherry/tasks', limit: Number(limit) };
    },
  },
};

/** The rule for `name`, or undefined for an isolator that means nothing here. */
export function isolatorRule(name: string): IsolatorRule | undefined {
  return Object.hasOwn(isolatorRules, name) ? isolatorRules[name as KnownKind] : undefined;
}

/** Reads the value of one isolator; `at` points to the isolator. */
export function typedIsolator(isolator: Isolator, scope: IsolatorScope, at: string): TypedIsolator {
  const { name, value } = isolator;
  const rule = isolatorRule(name);
  if (rule === undefined) return { kind: 'unknown', name, value };
  if (!rule.scopes.includes(scope)) {
    throw new SchemaFault(
      at,
      `the isolator "${name}" does not belong to ${scope === 'app' ? 'an app' : 'a pod'}`,
    );
  }
  return rule.read(value, pointerTo(at, 'value'));
}
