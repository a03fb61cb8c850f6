import type { Account, App } from '../../image/appc/index.ts';
import type { AppDevice } from './devices.ts';
import type { AppIsolation } from './isolation.ts';
import { secretsTarget } from './secrets.ts';
import type { ResolvedMount } from './volumes.ts';

/** Kernel namespaces that apps of a pod share (pods.md), besides the network. */
const sharedNamespaces = ['pid', 'ipc', 'uts'] as const;

export interface BundleInput {
  readonly appName: string;
  readonly app: App;
  /** The command: the app's exec line, or an event handler's. */
  readonly exec: readonly string[];
  readonly account: Account;
  readonly isolation: AppIsolation;
  /** Absolute path of the root file system. */
  readonly root: string;
  readonly readOnlyRoot: boolean;
  /** Whether it is a 32-bit app under a 64-bit ARM kernel. */
  readonly arm32: boolean;
  /** Device nodes of the host. */
  readonly devices: readonly AppDevice[];
  readonly mounts: readonly (ResolvedMount & MountSource)[];
  /** Set when the container creates the pod's UTS and IPC namespaces itself. */
  readonly own?: { readonly hostname: string; readonly sysctl: Readonly<Record<string, string>> };
  /**
   * Directory with the namespaces of the pod's holder; absent when the container creates its own.
   */
  readonly namespaces?: string;
  readonly network: BundleNetwork;
  /** Directory of the host with the files of its secrets; absent when it has none. */
  readonly secrets?: string;
  /** Set for an app that reports by sd_notify(3) that it is ready. */
  readonly notify?: { readonly watchdogSeconds: number | undefined };
  /** Address of the pod's metadata. */
  readonly metadataUrl?: string;
  /** The names of its sockets, in the order of their descriptors. */
  readonly sockets?: readonly string[];
}

/** The source of a mount: a path of the host, or memory. */
export type MountSource = { readonly source: string } | { readonly memoryBytes: bigint };

/** The network of a container. */
export type BundleNetwork =
  | { readonly kind: 'host' }
  /** Only loopback, in a namespace that the container creates or its holder has. */
  | { readonly kind: 'none' }
  /** An existing network namespace; `names` is the directory of the network's hosts file. */
  | { readonly kind: 'attached'; readonly netns: string; readonly names: string };

interface BundleMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** Mounts of every app (OS-SPEC.md, Linux; ace.md). The default devices come from the runtime. */
const systemMounts: readonly BundleMount[] = [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=64k'],
  },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
  },
  {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=64m'],
  },
  { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
  // It must exist, but is not a terminal.
  { destination: '/dev/console', type: 'bind', source: '/dev/null', options: ['bind', 'nosuid', 'noexec'] },
  { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
  {
    destination: '/sys/fs/cgroup',
    type: 'cgroup',
    source: 'cgroup',
    options: ['nosuid', 'noexec', 'nodev', 'relatime', 'ro'],
  },
];

/**
 * The paths that Docker and Podman mask or make read-only: they leak facts of the host, or let a
 * root app change its settings.
 */
const maskedPaths = [
  ...['/proc/acpi', '/proc/asound', '/proc/interrupts', '/proc/kcore', '/proc/keys', '/proc/latency_stats'],
  ...['/proc/sched_debug', '/proc/scsi', '/proc/timer_list', '/proc/timer_stats'],
  ...['/sys/dev/block', '/sys/devices/virtual/powercap', '/sys/firmware'],
];
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** The path of systemd's socket in an app. It is in /dev, because the root may be read-only. */
const notifySocket = '/dev/wherry-notify';

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** config.json of an app (OCI runtime specification 1.0.2, in the part that crun reads). */
export function bundleConfig(input: BundleInput): string {
  const { account, isolation, namespaces, own } = input;
  const root = account.uid === 0;
  const shared = sharedNamespaces.map((type) =>
    namespaces === undefined ? { type } : { type, path: `${namespaces}/${type}` },
  );
  return json({
    ociVersion: '1.0.2',
    root: { path: input.root, readonly: input.readOnlyRoot },
    ...(own === undefined ? {} : { hostname: own.hostname }),
    process: {
      terminal: false,
      user: { uid: account.uid, gid: account.gid, umask: 0o022, additionalGids: account.additionalGids },
      args: input.exec,
      env: environment(input),
      cwd: input.app.workingDirectory,
      capabilities: {
        bounding: isolation.capabilities,
        // As execve(2) would set them: none for a user other than root, unless a file has
        // capabilities.
        permitted: root ? isolation.capabilities : [],
        effective: root ? isolation.capabilities : [],
      },
      noNewPrivileges: isolation.noNewPrivileges,
      ...(isolation.oomScoreAdj === undefined ? {} : { oomScoreAdj: isolation.oomScoreAdj }),
      ...(isolation.apparmorProfile === undefined ? {} : { apparmorProfile: isolation.apparmorProfile }),
      ...(isolation.selinuxLabel === undefined ? {} : { selinuxLabel: isolation.selinuxLabel }),
    },
    mounts: [
      ...systemMounts,
      ...input.devices.map(deviceMount),
      ...notifyMount(input.notify),
      ...namesMount(input),
      ...input.mounts.map(volumeMount),
      ...secretsMount(input.secrets),
    ],
    linux: {
      namespaces: [...shared, ...networkNamespace(input), { type: 'mount' }, { type: 'cgroup' }],
      // With it, `uname -m` is armv8l, and /proc/cpuinfo has the features that 32-bit programs look
      // for.
      ...(input.arm32 ? { personality: { domain: 'LINUX32' } } : {}),
      ...(own === undefined || Object.keys(own.sysctl).length === 0 ? {} : { sysctl: own.sysctl }),
      ...(isolation.seccomp === undefined ? {} : { seccomp: isolation.seccomp }),
      maskedPaths,
      readonlyPaths,
    },
  });
}

/**
 * config.json of the process that holds a pod's namespaces: one static program in an otherwise
 * empty root.
 */
export function holderConfig(input: {
  readonly root: string;
  readonly program: string;
  readonly hostname: string;
  readonly sysctl: Readonly<Record<string, string>>;
  readonly selinuxLabel: string | undefined;
  /** Whether it also holds a network namespace with only loopback. */
  readonly noNetwork: boolean;
}): string {
  return json({
    ociVersion: '1.0.2',
    root: { path: input.root, readonly: true },
    hostname: input.hostname,
    process: {
      terminal: false,
      user: { uid: 65534, gid: 65534 },
      args: ['/holder', '-P'],
      env: [],
      cwd: '/',
      capabilities: { bounding: [], permitted: [], effective: [] },
      noNewPrivileges: true,
      // A pod's context applies to all processes involved in running it (ace.md).
      ...(input.selinuxLabel === undefined ? {} : { selinuxLabel: input.selinuxLabel }),
    },
    mounts: [
      {
        destination: '/holder',
        type: 'bind',
        source: input.program,
        options: ['bind', 'ro', 'nosuid', 'nodev'],
      },
      // The runtime creates its devices there.
      {
        destination: '/dev',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'noexec', 'mode=755', 'size=64k'],
      },
      // Kernel settings are written through it.
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    ],
    linux: {
      namespaces: [
        ...sharedNamespaces.map((type) => ({ type })),
        ...(input.noNetwork ? [{ type: 'network' }] : []),
        ...[{ type: 'mount' }, { type: 'cgroup' }],
      ],
      ...(Object.keys(input.sysctl).length === 0 ? {} : { sysctl: input.sysctl }),
    },
  });
}

function networkNamespace({ network, namespaces }: BundleInput): readonly { type: string; path?: string }[] {
  switch (network.kind) {
    case 'host':
      return [];
    case 'none':
      return [{ type: 'network', ...(namespaces === undefined ? {} : { path: `${namespaces}/net` }) }];
    case 'attached':
      return [{ type: 'network', path: network.netns }];
  }
}

/**
 * Mounts the node itself: a new node of the same numbers may be another device after a boot. The
 * cgroup rules of the unit restrict how it may be opened.
 */
function deviceMount({ path }: AppDevice): BundleMount {
  const options = ['bind', 'rw', 'private', 'nosuid', 'noexec'];
  return { destination: path, type: 'bind', source: path, options };
}

/**
 * Mounts a directory, so that a replaced hosts file in it is seen. The start script links to the
 * file. A volume at the link would be mounted on that file, and be gone when it is replaced: it is
 * mounted in place of the directory, too.
 */
function namesMount({ network, mounts }: BundleInput): readonly BundleMount[] {
  if (network.kind !== 'attached') return [];
  const own = mounts.find(({ target }) => target === '/etc/hosts');
  if (own !== undefined) return [{ ...volumeMount(own), destination: '/dev/wherry/hosts' }];
  const options = ['bind', 'ro', 'private', 'nosuid', 'nodev', 'noexec'];
  return [{ destination: '/dev/wherry', type: 'bind', source: network.names, options }];
}

function secretsMount(source: string | undefined): readonly BundleMount[] {
  if (source === undefined) return [];
  const options = ['bind', 'ro', 'private', 'nosuid', 'nodev', 'noexec'];
  return [{ destination: secretsTarget, type: 'bind', source, options }];
}

/**
 * Mounts the socket of the host's systemd, which identifies senders by their cgroup: an app can
 * only notify for its own unit.
 */
function notifyMount(notify: BundleInput['notify']): readonly BundleMount[] {
  if (notify === undefined) return [];
  const options = ['bind', 'rw', 'private', 'nosuid', 'nodev', 'noexec'];
  return [{ destination: notifySocket, type: 'bind', source: '/run/systemd/notify', options }];
}

/** The search path of the app's programs (ace.md#environment). */
export function appPath(app: App): string {
  return app.environment.findLast(({ name }) => name === 'PATH')?.value ?? defaultPath;
}

/** ace.md#environment; the app's own variables may override PATH, and no other of these. */
function environment({ appName, app, metadataUrl, notify, sockets }: BundleInput): readonly string[] {
  const fixed = new Map([
    ['AC_APP_NAME', appName],
    ['container', 'wherry'],
    ...notifyVariables(notify),
    ...socketVariables(sockets),
    ...(metadataUrl === undefined ? [] : [['AC_METADATA_URL', metadataUrl] as const]),
  ]);
  const variables = new Map([['PATH', defaultPath]]);
  for (const { name, value } of app.environment) variables.set(name, value);
  for (const [name, value] of fixed) variables.set(name, value);
  return [...variables].map(([name, value]) => `${name}=${value}`);
}

/** sd_notify(3), sd_watchdog_enabled(3). */
function notifyVariables(notify: BundleInput['notify']): readonly (readonly [string, string])[] {
  if (notify === undefined) return [];
  const { watchdogSeconds } = notify;
  return [
    ['NOTIFY_SOCKET', notifySocket],
    ...(watchdogSeconds === undefined ? [] : [['WATCHDOG_USEC', `${watchdogSeconds}000000`] as const]),
  ];
}

/** sd_listen_fds(3). The app is the first process of its PID namespace. */
function socketVariables(sockets: BundleInput['sockets']): readonly (readonly [string, string])[] {
  if (sockets === undefined) return [];
  return [
    ['LISTEN_PID', '1'],
    ['LISTEN_FDS', String(sockets.length)],
    ['LISTEN_FDNAMES', sockets.join(':')],
  ];
}

function volumeMount(mount: BundleInput['mounts'][number]): BundleMount {
  const { volume, target, readOnly } = mount;
  if ('memoryBytes' in mount) {
    const owner =
      volume.kind === 'empty'
        ? [`mode=${volume.mode.toString(8)}`, `uid=${volume.uid}`, `gid=${volume.gid}`]
        : [];
    const options = [readOnly ? 'ro' : 'rw', 'nosuid', 'nodev', `size=${mount.memoryBytes}`, ...owner];
    return { destination: target, type: 'tmpfs', source: 'tmpfs', options };
  }
  const { source } = mount;
  const recursive = volume.kind === 'host' && volume.recursive;
  return {
    destination: target,
    type: 'bind',
    source,
    // Only `rro`, `rnosuid` and `rnodev` apply to mounts below it.
    // crun 1.21 makes a `bind` with `rprivate` recursive, without these options for what is below.
    options: recursive
      ? ['rbind', readOnly ? 'rro' : 'rw', 'rprivate', 'rnosuid', 'rnodev']
      : ['bind', readOnly ? 'ro' : 'rw', 'private', 'nosuid', 'nodev'],
  };
}

function json(config: object): string {
  return `${JSON.stringify(config, null, 1)}\n`;
}
