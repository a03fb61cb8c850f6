import {
  defaultCapabilities,
  parseIsolators,
  type Isolator,
  type TypedIsolator,
} from '../../image/appc/index.ts';
import { Refusal, refusalAt } from '../../core/refusal/index.ts';
import type { IsolatorReport } from '../../wire/report/index.ts';
import type { HostFacts } from './compiled-pod.ts';
import type { PodNetwork } from '../network/index.ts';
import type { ResourceLimits } from '../systemd/index.ts';
import { applyLabel, type Labels } from './labels.ts';
import { isLimit, type LimitedHost, limitOutcome } from './limits.ts';
import {
  defaultFilter,
  removeFilter,
  retainFilter,
  type SeccompFilter,
  type SeccompOutcome,
} from './seccomp.ts';

/** The limit of an app that names none: a fork bomb must not take down the device. */
const defaultTasksMax = 512;

/** The effect of the isolators of an app. */
export interface AppIsolation extends Labels {
  readonly limits: ResourceLimits;
  /** The bounding set, and the whole set of a root app. */
  readonly capabilities: readonly string[];
  readonly noNewPrivileges: boolean;
  readonly seccomp?: SeccompFilter | undefined;
  readonly oomScoreAdj?: number | undefined;
  /** The limit that the pod's network must enforce. */
  readonly networkBytesPerSecond?: bigint;
  readonly reports: readonly IsolatorReport[];
}

/**
 * The effect of the isolators of a pod: limits of its slice, kernel settings of its namespaces, and
 * labels of its processes and of apps that name none themselves.
 */
export interface PodIsolation extends Labels {
  readonly limits: ResourceLimits;
  /** Kernel settings of the namespaces that crun creates. */
  readonly sysctl: Readonly<Record<string, string>>;
  /** Kernel settings of a network that plugins attach. */
  readonly networkSysctl: Readonly<Record<string, string>>;
  /** The limit that the pod's network must enforce. */
  readonly networkBytesPerSecond?: bigint;
  readonly reports: readonly IsolatorReport[];
}

type Draft<T> = { -readonly [K in keyof T]: T[K] };
type Outcome = Omit<IsolatorReport, 'app' | 'name'>;

/** The capabilities(7) of Linux 6.x; the runtime refuses an unknown name. */
export const knownCapabilities: ReadonlySet<string> = new Set(
  `AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER
   FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE
   NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE
   SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM`
    .split(/\s+/)
    .map((name) => `CAP_${name}`),
);

/** Kernel settings of the IPC namespace, which each pod has for itself. */
const ipcSysctl =
  /^(?:kernel\.(?:msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)|fs\.mqueue\.[a-z_]+)$/;

/** Those of the network namespace, which not every pod has for itself. Each part is a file name. */
const networkSysctl = /^net(?:\.[A-Za-z0-9_-]+)+$/;

/**
 * Applies the isolators of an app.
 * @throws Refusal pod-isolator-invalid, pod-limit-unenforceable (`host.limits` is `require`)
 */
export function isolateApp(
  app: string,
  isolators: readonly Isolator[],
  host: LimitedHost,
  pod: PodIsolation,
): AppIsolation {
  const typed = parseIsolators(isolators, 'app');
  const machine = host.machine ?? 'arm64';
  const capabilities = capabilitySet(typed);
  const result: Draft<Omit<AppIsolation, 'capabilities' | 'reports'>> = {
    limits: host.controllers.includes('pids') ? { TasksMax: defaultTasksMax } : {},
    noNewPrivileges: false,
    seccomp: defaultFilter(machine, capabilities),
    apparmorProfile: pod.apparmorProfile,
    selinuxLabel: pod.selinuxLabel,
  };

  const apply = (isolator: TypedIsolator): Outcome => {
    if (isLimit(isolator)) {
      const { directives, networkBytesPerSecond, ...outcome } = limitOutcome(isolator, host);
      result.limits = { ...result.limits, ...directives };
      if (networkBytesPerSecond !== undefined) result.networkBytesPerSecond = networkBytesPerSecond;
      return outcome;
    }
    switch (isolator.kind) {
      case 'os/linux/capabilities-retain-set':
      case 'os/linux/capabilities-remove-set': {
        const unknown = isolator.capabilities.filter((name) => !knownCapabilities.has(name));
        return unknown.length === 0
          ? { outcome: 'enforced', detail: capabilities.join(' ') || 'none' }
          : { outcome: 'modified', detail: `not known to Linux: ${unknown.join(' ')}` };
      }
      case 'os/linux/no-new-privileges':
        result.noNewPrivileges = isolator.enabled;
        return { outcome: 'enforced', detail: String(isolator.enabled) };
      case 'os/linux/seccomp-retain-set':
      case 'os/linux/seccomp-remove-set': {
        const { filter, modified } = callFilter(app, isolator, machine, capabilities);
        result.seccomp = filter;
        // crun leaves out names that libseccomp does not know.
        const unknown = isolator.calls.filter(
          (name) => !name.startsWith('@') && host.systemCalls?.has(name) === false,
        );
        const changes = [
          modified ?? [],
          unknown.length === 0 ? [] : `not known here: ${unknown.join(' ')}`,
        ].flat();
        return changes.length === 0
          ? { outcome: 'enforced', detail: filter === undefined ? 'no filter' : 'filter loaded' }
          : { outcome: 'modified', detail: changes.join('; ') };
      }
      case 'os/linux/oom-score-adj':
        result.oomScoreAdj = isolator.adjustment;
        return { outcome: 'enforced', detail: String(isolator.adjustment) };
      case 'os/linux/apparmor-profile':
      case 'os/linux/selinux-context':
        return applyLabel(result, app, isolator, host.judgeLabel);
      case 'os/unix/sysctl':
      case 'unknown':
        return { outcome: 'ignored', detail: 'not known here' };
    }
  };
  const reports = report(app, typed, host, apply);
  return { ...result, capabilities, reports };
}

/** @throws Refusal pod-isolator-invalid, with the app and the isolator */
function callFilter(
  app: string,
  isolator: Extract<TypedIsolator, { kind: `os/linux/seccomp-${string}` }>,
  machine: string,
  capabilities: readonly string[],
): SeccompOutcome {
  try {
    return isolator.kind === 'os/linux/seccomp-retain-set'
      ? retainFilter(machine, isolator)
      : removeFilter(machine, capabilities, isolator);
  } catch (error) {
    throw refusalAt(`app ${app}: ${isolator.kind}`, error);
  }
}

/**
 * Applies the isolators of a pod.
 * @param network the kind of the pod's network
 * @throws Refusal pod-isolator-invalid, pod-limit-unenforceable (`host.limits` is `require`)
 */
export function isolatePod(
  isolators: readonly Isolator[],
  host: LimitedHost,
  network: PodNetwork['kind'],
): PodIsolation {
  const result: Draft<Omit<PodIsolation, 'reports'>> = { limits: {}, sysctl: {}, networkSysctl: {} };
  const apply = (isolator: TypedIsolator): Outcome => {
    if (isLimit(isolator)) {
      const { directives, networkBytesPerSecond, ...outcome } = limitOutcome(isolator, host);
      result.limits = { ...result.limits, ...directives };
      if (networkBytesPerSecond !== undefined) result.networkBytesPerSecond = networkBytesPerSecond;
      return outcome;
    }
    switch (isolator.kind) {
      case 'os/unix/sysctl': {
        const settings = [...isolator.settings];
        const ofNetwork = settings.filter(([key]) => networkSysctl.test(key));
        const ofIpc = settings.filter(([key]) => ipcSysctl.test(key));
        refuseHostSettings(network === 'host' ? ofIpc : [...ofIpc, ...ofNetwork], settings);
        result.sysctl = Object.fromEntries(network === 'none' ? settings : ofIpc);
        if (network === 'attached') result.networkSysctl = Object.fromEntries(ofNetwork);
        return { outcome: 'enforced', detail: `${settings.length} settings` };
      }
      case 'os/linux/apparmor-profile':
      case 'os/linux/selinux-context':
        return applyLabel(result, '', isolator, host.judgeLabel);
      default:
        return { outcome: 'ignored', detail: 'not known here' };
    }
  };
  const reports = report('', parseIsolators(isolators, 'pod'), host, apply);
  return { ...result, reports };
}

/** Forbidden settings are ignored or refused (ace.md). An app that needs one would not work. */
function refuseHostSettings(
  allowed: readonly (readonly [string, string])[],
  settings: readonly (readonly [string, string])[],
): void {
  const other = settings.find((setting) => !allowed.includes(setting));
  if (other === undefined) return;
  const [key] = other;
  const why = networkSysctl.test(key)
    ? 'would change the network of the host, which the pod shares; give the pod a network of its own'
    : 'is not a setting of a pod; those are net.*, kernel.msg*, kernel.sem, kernel.shm* and fs.mqueue.*';
  throw new Refusal('pod-isolator-invalid', `the pod: os/unix/sysctl: ${key} ${why}`);
}

function report(
  app: string,
  isolators: readonly TypedIsolator[],
  host: HostFacts,
  apply: (isolator: TypedIsolator) => Outcome,
): readonly IsolatorReport[] {
  return isolators.map((isolator) => {
    const name = isolator.kind === 'unknown' ? isolator.name : isolator.kind;
    const outcome = apply(isolator);
    if (host.limits === 'require' && outcome.outcome === 'ignored' && isLimit(isolator)) {
      throw new Refusal(
        'pod-limit-unenforceable',
        `${app === '' ? 'the pod' : `app ${app}`}: ${name} cannot be enforced: ${outcome.detail}`,
      );
    }
    return { app, name, ...outcome };
  });
}

function capabilitySet(isolators: readonly TypedIsolator[]): readonly string[] {
  for (const isolator of isolators) {
    if (isolator.kind === 'os/linux/capabilities-retain-set') {
      return isolator.capabilities.filter((name) => knownCapabilities.has(name));
    }
    if (isolator.kind === 'os/linux/capabilities-remove-set') {
      return defaultCapabilities.filter((name) => !isolator.capabilities.includes(name));
    }
  }
  return defaultCapabilities;
}
