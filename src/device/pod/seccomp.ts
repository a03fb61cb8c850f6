import { constants } from 'node:os';

import { Refusal } from '../../core/refusal/index.ts';
import { newerTimeCalls, sameTimeCalls } from './time-calls.ts';

/** `linux.seccomp` of the OCI runtime specification. */
export interface SeccompFilter {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures: readonly string[];
  readonly syscalls: readonly SeccompRule[];
}

interface SeccompRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly { index: number; value: number; valueTwo?: number; op: string }[];
}

/**
 * Node's process.arch → ABIs of that kernel. A filter without an ABI kills every program that uses
 * it, and 32-bit calls could bypass a filter for 64 bits only: most ARMv8 kernels run 32-bit ARM
 * programs.
 */
const abis: Readonly<Record<string, readonly string[]>> = {
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
  arm: ['SCMP_ARCH_ARM'],
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
};

/**
 * Calls that no app needs, each with the capability that makes it legitimate. It is a deny list: it
 * stays as small as its purpose (kernel attack surface that capabilities leave open), new calls do
 * not outdate it, and it holds for both ARM ABIs without naming their `_time64`, `arm_` and `32`
 * variants. The calls are those that Docker's documentation lists as blocked.
 */
const deniedUnless: readonly (readonly [capability: string | undefined, calls: readonly string[]])[] = [
  [
    undefined,
    ['add_key', 'keyctl', 'request_key', 'userfaultfd', 'nfsservctl', 'lookup_dcookie', 'vm86', 'vm86old'],
  ],
  [undefined, ['io_uring_setup', 'io_uring_enter', 'io_uring_register']],
  ['CAP_SYS_ADMIN', ['mount', 'umount', 'umount2', 'pivot_root', 'move_mount', 'open_tree', 'mount_setattr']],
  [
    'CAP_SYS_ADMIN',
    ['fsopen', 'fsconfig', 'fsmount', 'fspick', 'setns', 'unshare', 'quotactl', 'quotactl_fd'],
  ],
  [
    'CAP_SYS_ADMIN',
    ['bpf', 'perf_event_open', 'fanotify_init', 'swapon', 'swapoff', 'setdomainname', 'sethostname'],
  ],
  ['CAP_SYS_MODULE', ['init_module', 'finit_module', 'delete_module', 'create_module', 'query_module']],
  ['CAP_SYS_BOOT', ['reboot', 'kexec_load', 'kexec_file_load']],
  ['CAP_SYS_TIME', ['settimeofday', 'stime', 'clock_settime', 'clock_settime64']],
  ['CAP_SYS_PTRACE', ['process_vm_readv', 'process_vm_writev', 'kcmp', 'pidfd_getfd', 'process_madvise']],
  ['CAP_SYS_RAWIO', ['iopl', 'ioperm']],
  ['CAP_SYS_PACCT', ['acct']],
  ['CAP_SYSLOG', ['syslog']],
  ['CAP_DAC_READ_SEARCH', ['open_by_handle_at']],
];

/** The calls that the default filter denies an app with these capabilities. */
function deniedCalls(capabilities: readonly string[]): readonly string[] {
  return deniedUnless
    .filter(([capability]) => capability === undefined || !capabilities.includes(capability))
    .flatMap(([, calls]) => calls);
}

/** A call that `filter` allows and the default filter denies; undefined when there is none. */
export function beyondDefault(
  capabilities: readonly string[],
  filter: SeccompFilter | undefined,
): string | undefined {
  if (filter === undefined) return 'every system call';
  // A remove-set denies all that the default denies.
  if (filter.defaultAction === 'SCMP_ACT_ALLOW') return undefined;
  const allowed = new Set(filter.syscalls.flatMap(({ names }) => names));
  return deniedCalls(capabilities).find((call) => allowed.has(call) && !startCalls.includes(call));
}

const cloneNewUser = 0x10000000;
const eperm = constants.errno.EPERM;
const enosys = constants.errno.ENOSYS;

/**
 * Calls of newer C libraries, each with the older one that they make instead after ENOSYS, and
 * after no other error (glibc 2.34 and 2.39).
 */
const newerForms: readonly (readonly [newer: string, older: string])[] = [
  ['clone3', 'clone'],
  ['fchmodat2', 'fchmodat'],
];

/** The newer forms that a set lacks. */
function lackedForms(set: readonly string[]): readonly string[] {
  return newerForms
    .filter(([newer, older]) => set.includes(older) && !set.includes(newer))
    .map(([newer]) => newer);
}

/** The filter of an app without an isolator for it: EPERM for the calls in {@link deniedUnless}. */
export function defaultFilter(machine: string, capabilities: readonly string[]): SeccompFilter {
  const names = deniedCalls(capabilities);
  const noUserNamespaces: readonly SeccompRule[] = capabilities.includes('CAP_SYS_ADMIN')
    ? []
    : [
        {
          names: ['clone'],
          action: 'SCMP_ACT_ERRNO',
          errnoRet: eperm,
          args: [{ index: 0, value: cloneNewUser, valueTwo: cloneNewUser, op: 'SCMP_CMP_MASKED_EQ' }],
        },
        // Its flags are in memory, which a filter cannot read; C libraries fall back to clone.
        { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: enosys },
      ];
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    architectures: architectures(machine),
    syscalls: [{ names, action: 'SCMP_ACT_ERRNO', errnoRet: eperm }, ...noUserNamespaces],
  };
}

/**
 * Calls between loading the filter and the app's first instruction, the same on every ABI (ace.md
 * allows a minimal addition). They come from crun, which waits for the release of the container
 * under the filter, from the dynamic linker and from the start of a static program. strace(1) shows
 * them.
 */
const startCalls: readonly string[] = [
  ...[
    'capget',
    'capset',
    'prctl',
    'setgroups',
    'setresgid',
    'setresuid',
    'setgid',
    'setuid',
    'umask',
    'setsid',
  ],
  ...['ioctl', 'chdir', 'fchdir', 'getcwd', 'execve', 'pselect6'],
  ...['openat', 'openat2', 'close', 'close_range', 'read', 'readv', 'pread64', 'write', 'writev', 'fcntl'],
  ...['fstat', 'newfstatat', 'statx', 'faccessat', 'faccessat2', 'readlinkat', 'getdents64'],
  ...['lseek', 'brk', 'mmap', 'munmap', 'mprotect', 'madvise', 'futex', 'rt_sigaction', 'rt_sigprocmask'],
  ...['rt_sigreturn', 'getpid', 'gettid', 'getrandom', 'prlimit64', 'dup', 'dup3', 'sendmsg', 'recvmsg'],
  ...['recvfrom', 'exit', 'exit_group', 'restart_syscall', 'sched_yield', 'set_tid_address'],
  ...[
    'set_robust_list',
    'rseq',
    'uname',
    'geteuid',
    'getuid',
    'getegid',
    'getgid',
    'fsopen',
    'statfs',
    'fstatfs',
  ],
];

/** ABIs that are older than the `at` calls also have these, and C libraries still use them. */
const withoutAt = ['access', 'open', 'readlink'];

/** ABIs of 32 bits have wider variants of many calls. */
const wider: readonly string[] = [
  ...['setgroups32', 'setresgid32', 'setresuid32', 'setgid32', 'setuid32', 'fcntl64', 'fstat64', 'fstatat64'],
  ...['_llseek', 'mmap2', 'futex_time64', 'pselect6_time64', '_newselect', 'ugetrlimit'],
  ...['geteuid32', 'getuid32', 'getegid32', 'getgid32'],
];

/**
 * The additional calls of each ABI: a filter covers several, and applies to 32-bit programs, too.
 */
const startCallsOf: Readonly<Record<string, readonly string[]>> = {
  SCMP_ARCH_AARCH64: [],
  SCMP_ARCH_ARM: [...withoutAt, ...wider, 'arm_set_tls', 'set_tls', 'cacheflush'],
  SCMP_ARCH_X86_64: [...withoutAt, 'arch_prctl', 'select'],
  SCMP_ARCH_X86: [...withoutAt, ...wider, 'set_thread_area'],
  SCMP_ARCH_X32: [...withoutAt, 'arch_prctl', 'select'],
};

/** A filter, or none, and how it differs from what was requested. */
export interface SeccompOutcome {
  readonly filter?: SeccompFilter;
  readonly modified?: string;
}

interface CallSet {
  readonly calls: readonly string[];
  /** What a blocked call returns; absent: the app is killed by SIGSYS. */
  readonly errno?: string;
}

/**
 * os/linux/seccomp-retain-set: all other calls are blocked; `@appc.io/all` opts out of filtering.
 */
export function retainFilter(machine: string, set: CallSet): SeccompOutcome {
  if (set.calls.includes('@appc.io/all')) return {};
  const [wildcard] = set.calls.filter((call) => call.startsWith('@'));
  if (wildcard !== undefined) {
    // Ignored, it would have the app killed at its first call.
    throw new Refusal('pod-isolator-invalid', `the wildcard ${JSON.stringify(wildcard)} is not known here`);
  }
  const needed = [...startCalls, ...architectures(machine).flatMap((abi) => startCallsOf[abi] ?? [])];
  const added = [...new Set(needed)].filter((call) => !set.calls.includes(call));
  const timed = newerTimeCalls(set.calls).filter((call) => !added.includes(call));
  const { action, errnoRet } = whenBlocked(set);
  // libseccomp refuses a rule that does what the default does.
  const lacked = errnoRet === enosys ? [] : lackedForms(set.calls);
  const modified = [
    added.length === 0 ? [] : `${added.length} calls added that starting a program needs`,
    timed.length === 0 ? [] : `added as the same with 64-bit times: ${timed.join(' ')}`,
    lacked.length === 0 ? [] : `fail with ENOSYS, so that C libraries make older calls: ${lacked.join(' ')}`,
  ].flat();
  return {
    filter: {
      defaultAction: action,
      ...(errnoRet === undefined ? {} : { defaultErrnoRet: errnoRet }),
      architectures: architectures(machine),
      syscalls: [
        { names: [...set.calls, ...added, ...timed], action: 'SCMP_ACT_ALLOW' },
        ...(lacked.length === 0 ? [] : [{ names: lacked, action: 'SCMP_ACT_ERRNO', errnoRet: enosys }]),
      ],
    },
    ...(modified.length === 0 ? {} : { modified: modified.join('; ') }),
  };
}

/**
 * os/linux/seccomp-remove-set: these calls are blocked in addition to the default; `@appc.io/empty`
 * selects the default.
 */
export function removeFilter(machine: string, capabilities: readonly string[], set: CallSet): SeccompOutcome {
  const filter = defaultFilter(machine, capabilities);
  if (set.calls.includes('@appc.io/empty')) return { filter };
  const same = sameTimeCalls(set.calls);
  const lacked = lackedForms(set.calls);
  const names = [...set.calls.filter((call) => !call.startsWith('@')), ...same, ...lacked];
  const wildcards = set.calls.filter((call) => call.startsWith('@'));
  const modified = [
    wildcards.length === 0 ? [] : `not known here: ${wildcards.join(' ')}`,
    same.length === 0 ? [] : `denied as the same with 64-bit times: ${same.join(' ')}`,
    lacked.length === 0 ? [] : `denied as newer forms: ${lacked.join(' ')}`,
  ].flat();
  return {
    filter: {
      ...filter,
      syscalls: [
        // One rule per call: libseccomp refuses two different actions for the same call.
        ...filter.syscalls
          .map((rule) => ({ ...rule, names: rule.names.filter((name) => !names.includes(name)) }))
          .filter((rule) => rule.names.length > 0),
        ...(names.length === 0 ? [] : [{ names, ...whenBlocked(set) }]),
      ],
    },
    ...(modified.length === 0 ? {} : { modified: modified.join('; ') }),
  };
}

function architectures(machine: string): readonly string[] {
  return abis[machine] ?? [];
}

/** The result of a blocked call: an error, or SIGSYS for the whole process. */
function whenBlocked({ errno }: CallSet): { readonly action: string; readonly errnoRet?: number } {
  if (errno === undefined) return { action: 'SCMP_ACT_KILL_PROCESS' };
  const errnoRet = new Map<string, number>(Object.entries(constants.errno)).get(errno);
  if (errnoRet === undefined) {
    throw new Refusal('pod-isolator-invalid', `the error ${errno} is not known here`);
  }
  return { action: 'SCMP_ACT_ERRNO', errnoRet };
}
