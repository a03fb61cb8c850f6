import { pointerTo, SchemaFault, unexpected } from './fault.ts';
import { boolean, Fields, integer, present, type Read } from './fields.ts';
import {
  callName,
  capabilityName,
  contextLevel,
  contextPart,
  defaultLimit,
  errnoName,
  memoryLimit,
  memoryRequest,
  milliCores,
  nameSet,
  positiveMilliCores,
  positiveUnits,
  profileName,
  requestAndLimit,
  sysctlSettings,
} from './isolator-values.ts';
import type { Isolator, JsonValue } from './types.ts';

/**
 * Where an isolator is set: at an app, or at the pod, whose isolators bound those of its apps
 * (ace.md#isolators).
 */
export type IsolatorScope = 'app' | 'pod';

/**
 * An isolator with its value checked and in the units of the kernel. Quantities are rounded up to
 * whole units, CPU time to thousandths of a core. An absent request equals the limit, an absent
 * limit means none (ace.md#resource-isolators). At least one of them is present. A request may
 * exceed the limit, which then bounds it.
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
      /**
       * Names such as `CAP_KILL`; whether the kernel knows them is checked when the pod is
       * compiled.
       */
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
  /** An extension of wherry: the most processes and threads, 3 … 4194304. */
  | { readonly kind: 'wherry/tasks'; readonly limit: number }
  /** An unknown one: it is kept, and reported as ignored (ace.md#isolators: MUST). */
  | { readonly kind: 'unknown'; readonly name: string; readonly value: JsonValue };

type KnownKind = Exclude<TypedIsolator['kind'], 'unknown'>;

interface IsolatorRule {
  readonly scopes: readonly IsolatorScope[];
  /** The isolator that excludes it. */
  readonly excludes?: KnownKind;
  readonly read: Read<TypedIsolator>;
}

/**
 * The capabilities of an app without a capability isolator (ace.md#oslinuxcapabilities-remove-set).
 */
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

/** Every supported isolator by name: its scope, what it excludes, and how its value is read. */
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
      const { request, limit } = requestAndLimit(memoryRequest, memoryLimit)(value, at);
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
      // Observed on a board with Debian 13: an app with at most two tasks does not start, one with
      // three does.
      if (limit < 3n) throw unexpected(pointerTo(at, 'limit'), 'at least 3 tasks, as a start takes', limit);
      return { kind: 'wherry/tasks', limit: Number(limit) };
    },
  },
};

/** The rule for `name`, or undefined for an unknown isolator. */
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
