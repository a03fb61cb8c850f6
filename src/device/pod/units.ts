import type { Account } from '../../image/appc/index.ts';
import { unitText, type ResourceLimits } from '../systemd/index.ts';
import type { HostFacts } from './compiled-pod.ts';
import { mountUnitsOf } from './mount-units.ts';
import { imageMount, type PodPlaces } from './places.ts';
import type { ProbeRules } from './probe.ts';
import { probeScriptPath } from './probe-script.ts';
import { releaseScriptPath } from './release-script.ts';
import type { AppDevice } from './devices.ts';
import type { AppSecret } from './secrets.ts';
import type { AppSettings } from './settings.ts';
import { startScriptPath } from './start-script.ts';
import { signalNumber, stopScriptPath } from './stop-script.ts';

/**
 * The mount unit of an image's object. It starts with the first service that needs it, or earlier
 * when the image is inspected, and stops when its deployment is forgotten.
 */
export function mountUnit(
  imageId: string,
  host: { readonly directories: Pick<HostFacts['directories'], 'images' | 'run'> },
): { name: string; text: string; where: string } {
  const { where, unit, object } = imageMount(imageId, host);
  return {
    name: unit,
    where,
    text: unitText({
      Unit: {
        Description: `Image ${imageId.slice(0, 19)}`,
        // The default ones would order it before local-fs.target and delay the boot.
        DefaultDependencies: false,
        Conflicts: ['umount.target'],
        Before: ['umount.target'],
        RequiresMountsFor: [host.directories.images],
      },
      Mount: { What: object, Where: where, Type: 'erofs', Options: 'ro,nodev,nosuid' },
    }),
  };
}

/**
 * The slice of a pod: the pod's isolators apply to all of its apps together (ace.md#isolators).
 * Nothing else delays it at boot, and systemd would limit the disk below a mount point that is
 * still empty.
 */
export function sliceUnit(podName: string, limits: ResourceLimits): string {
  const paths = Object.values(limits).flatMap((limit) => (typeof limit === 'object' ? limit.paths : []));
  const mounts = paths.length === 0 ? [] : ['local-fs.target', ...mountUnitsOf(paths)];
  return unitText({ Unit: { Description: `Pod ${podName}`, After: mounts }, Slice: limits });
}

export interface ServiceInput {
  readonly podName: string;
  readonly uuid: string;
  readonly app: string;
  /** Objects of the app's root, the uppermost first. */
  readonly layers: readonly string[];
  readonly places: PodPlaces;
  readonly host: HostFacts;
  readonly settings: AppSettings;
  readonly limits: ResourceLimits;
  /** Device nodes that it may open. */
  readonly devices: readonly AppDevice[];
  /** Those that it loads itself. */
  readonly secrets: readonly AppSecret[];
  /** The owner of the files of its secrets. */
  readonly account: Account;
  /** Mount units of its volumes with a limit, and of its delivered secrets. */
  readonly volumes: readonly string[];
  /**
   * Directories of the host that it uses: it does not start before their file systems are mounted.
   */
  readonly sources: readonly string[];
  /**
   * Whether its post-stop handler has a bundle; the script itself finds that of a pre-start
   * handler.
   */
  readonly postStop: boolean;
  /** Unit that holds the pod's namespaces. */
  readonly holder?: string;
  /** The unit of a run of its pod, if the pod is scheduled. */
  readonly run?: string;
  /** Unit that attaches the pod to its network. */
  readonly network?: string;
  /** Socket of the pod's metadata. */
  readonly metadata?: string;
  /** The socket unit of its ports, and the number of its descriptors. */
  readonly sockets?: { readonly unit: string; readonly count: number };
  /**
   * Apps that it waits for: with `once` until they have succeeded, else until they have started.
   */
  readonly after: readonly { readonly unit: string; readonly once: boolean }[];
}

/**
 * The start script reports the app's process ID and that the unit is started, in one message:
 * before it, a stop ends the script, and after it, the app.
 */
const reported = { Type: 'notify', NotifyAccess: 'exec' };

/**
 * The start script reports the app's process ID, and then the app that it is ready. Notifications
 * of all processes are accepted, since some servers notify from a child. The watchdog uses SIGKILL,
 * because the kernel drops every other signal for the first process of a PID namespace that has no
 * handler for it.
 */
function notifying({ watchdogSeconds }: AppSettings) {
  return {
    ...{ Type: 'notify', NotifyAccess: 'all' },
    ...(watchdogSeconds === undefined ? {} : { WatchdogSec: watchdogSeconds, WatchdogSignal: 'SIGKILL' }),
  };
}

/**
 * Gives the start script a mount namespace of its own, which also sees what is unmounted on the
 * host. `PrivateMounts=` would set up systemd's whole sandbox for each command of the unit.
 */
const ownMounts = ['/usr/bin/unshare', '--mount', '--propagation', 'slave'];

/**
 * How many seconds a post-stop handler may take: less than the stop timeout. If systemd's own limit
 * came first, it would not wait for the end of the processes that it kills.
 */
function handlerLimit({ stopTimeoutSeconds }: AppSettings): string {
  return String(stopTimeoutSeconds > 1 ? stopTimeoutSeconds - 1 : 0.5);
}

/** Avoids the stop timeout for an app that cannot receive its stop signal. */
function askToStop(places: PodPlaces, number: string, { stopSignal }: AppSettings): readonly string[] {
  return ['/bin/sh', places.absolute(stopScriptPath), number, stopSignal];
}

/**
 * The service of an app: crun in a fresh layer. No process of wherry stays; systemd tracks the
 * app's own process.
 */
export function serviceUnit(input: ServiceInput): string {
  const { podName, app, places, host, settings, holder, network, metadata, secrets, account, run } = input;
  const layers = input.layers.map((id) => imageMount(id, host));
  const mounts = [...layers.map(({ unit }) => unit), ...input.volumes];
  const id = places.containerId(app);
  const dir = places.runtime(id);
  const script = (what: 'create' | 'notify' | 'run' | 'post-stop', number: string) => [
    ...['/bin/sh', places.absolute(startScriptPath), what, number, dir, String(settings.layer)],
    ...[
      layers.map(({ where }) => `${where}/rootfs`).join(':'),
      podName,
      host.crunPath,
      places.absolute(places.bundle(app)),
      id,
      ...(network === undefined ? (secrets.length > 0 ? ['-'] : []) : [places.netns]),
      ...secrets.map(({ name, mode }) => `${name}:${mode}:${account.uid}:${account.gid}`),
    ],
  ];
  const stopNumber = String(signalNumber(settings.stopSignal));
  const networks = network === undefined ? [] : [network];
  const sockets = [
    ...(metadata === undefined ? [] : [metadata]),
    ...(input.sockets === undefined ? [] : [input.sockets.unit]),
  ];
  const needs = [
    ...[...mounts, ...(holder === undefined ? [] : [holder]), ...networks, ...sockets],
    ...input.after.map(({ unit }) => unit),
  ];
  const succeeded = input.after.filter(({ once }) => once).map(({ unit }) => unit);
  const started = input.after.filter(({ once }) => !once).map(({ unit }) => unit);
  const type = settings.once
    ? // A run of a scheduled pod ends with its apps.
      { Type: 'oneshot', RemainAfterExit: run === undefined }
    : settings.notify
      ? notifying(settings)
      : reported;
  const disks = mountUnitsOf(input.sources);
  // It exists from the end of the app to the end of the run, whose holder has the directory.
  const ended =
    run === undefined || holder === undefined ? undefined : `${places.runtime(places.holderId)}/${app}.ended`;
  // An app that is retried has not ended.
  const unlessRetried = settings.restart === 'no' ? '' : 'test "$SERVICE_RESULT" != success || ';
  return unitText({
    Unit: {
      Description: `App ${app} of pod ${podName}`,
      Requires: [...mounts, ...succeeded],
      ...(holder === undefined ? {} : { BindsTo: [holder] }),
      // Not Requires=: an app whose network failed once would not be retried. crun then fails
      // without a namespace, and each restart of the app starts the network first.
      Wants: [...networks, ...sockets, ...started, ...(run === undefined ? [] : [run])],
      PartOf: networks,
      After: needs,
      RequiresMountsFor: input.sources,
      // The timer starts the apps of its run even during a run that a command has started.
      ...(ended === undefined ? {} : { ConditionPathExists: ended }),
      // A device in the field never gives up; RestartSteps= slows it down.
      StartLimitIntervalSec: 0,
    },
    Service: {
      ...type,
      RuntimeDirectory: [belowRun(dir)],
      RuntimeDirectoryMode: '0700',
      // systemd decrypts them at each start, into memory that only this unit sees.
      LoadCredentialEncrypted: secrets.map(
        ({ name, digest }) => `${name}:${host.directories.secrets ?? ''}/${digest}.cred`,
      ),
      // The start script fails if it does not get so many descriptors.
      ...(input.sockets === undefined
        ? {}
        : { Environment: { WHERRY_SOCKETS: String(input.sockets.count) } }),
      ExecStart: [
        [
          ...(input.postStop ? [] : ownMounts),
          ...script(settings.once ? 'run' : settings.notify ? 'notify' : 'create', stopNumber),
        ],
      ],
      ...(settings.stopSignal === 'SIGKILL' ? {} : { ExecStop: [askToStop(places, stopNumber, settings)] }),
      ExecStopPost: [
        ...(input.postStop ? [script('post-stop', handlerLimit(settings))] : []),
        ...(ended === undefined ? [] : [['/bin/sh', '-c', `${unlessRetried}: >"$0"`, ended]]),
      ],
      Restart: settings.restart,
      // A restart must not pass through a failed state: the apps that wait for it would not be
      // started.
      ...(settings.once ? { RestartMode: 'direct' } : {}),
      RestartSec: 1,
      RestartSteps: 4,
      RestartMaxDelaySec: 30,
      TimeoutStartSec: settings.startTimeoutSeconds,
      TimeoutStopSec: settings.stopTimeoutSeconds,
      // Were its script late all the same, the stop signal would end only the script.
      ...(input.postStop ? { TimeoutStopFailureMode: 'kill' } : {}),
      // The stop signal goes to the app's first process, SIGKILL to all.
      KillMode: 'mixed',
      KillSignal: settings.stopSignal,
      OOMPolicy: 'kill',
      // The bounding set has CAP_MKNOD: device nodes that the app creates must not be usable.
      DevicePolicy: 'closed',
      // Not `m`: with it, the app could create another node of the device, with another owner.
      DeviceAllow: input.devices,
      Slice: [places.slice],
      UMask: '0022',
      StandardInput: 'null',
      StandardOutput: 'journal',
      StandardError: 'journal',
      SyslogIdentifier: app,
      LogExtraFields: { WHERRY_POD: podName, WHERRY_POD_UUID: input.uuid, WHERRY_APP: app },
      LogRateLimitIntervalSec: 30,
      LogRateLimitBurst: 2000,
      ...input.limits,
    },
    // Starts an app when the disk that it waits for is mounted: a start that failed for a
    // dependency is not retried. Only the timer starts a scheduled pod.
    ...(disks.length === 0 || run !== undefined ? {} : { Install: { WantedBy: disks } }),
  });
}

/**
 * The service that runs the program of a probe once. wherryd starts it when a probe is due, because
 * it lacks the privileges to run a program in an app itself.
 */
export function probeUnit(input: {
  readonly podName: string;
  readonly app: string;
  readonly rules: ProbeRules;
  readonly places: PodPlaces;
  readonly host: HostFacts;
}): string {
  const { podName, app, places, host } = input;
  const id = places.containerId(app);
  const words = [places.runtime(id), host.crunPath, id, places.absolute(places.probeProcess(app))];
  return unitText({
    Unit: {
      Description: `Probe of app ${app} of pod ${podName}`,
      // A probe that timed out is not a failure of the device.
      CollectMode: 'inactive-or-failed',
      StartLimitIntervalSec: 0,
    },
    Service: {
      Type: 'oneshot',
      ExecStart: [['/bin/sh', places.absolute(probeScriptPath), ...words]],
      TimeoutStartSec: input.rules.timeoutSeconds,
      TimeoutStopSec: 5,
      Slice: [places.slice],
      UMask: '0022',
      StandardInput: 'null',
      // The output of a program that runs every few seconds would wear the flash.
      StandardOutput: 'null',
      StandardError: 'null',
      // So would systemd's log of each run; wherryd logs when an app begins to fail.
      LogLevelMax: 'crit',
    },
  });
}

/**
 * The service of a pod with several apps that holds their shared namespaces (pods.md: PID, IPC,
 * UTS). When it ends, the kernel kills all processes of the pod; systemd restarts them in new
 * namespaces.
 */
export function holderUnit(input: {
  readonly podName: string;
  readonly places: PodPlaces;
  readonly host: HostFacts;
  /**
   * Whether the pod is scheduled: the unit then starts with each run, and a run in which it fails
   * ends.
   */
  readonly scheduled: boolean;
}): string {
  const { podName, places, host, scheduled } = input;
  const dir = places.runtime(places.holderId);
  return unitText({
    Unit: {
      Description: `Namespaces of pod ${podName}`,
      StopWhenUnneeded: true,
      // The apps wait for it while it is retried; then they fail, and their start reports it.
      ...(scheduled ? { StartLimitIntervalSec: 0 } : { StartLimitIntervalSec: 120, StartLimitBurst: 5 }),
    },
    Service: {
      // systemd tracks the one process that `crun create` leaves: it is PID 1's child before that
      // command has ended, and it does not begin before ExecStartPost=.
      ...{ Type: 'forking', GuessMainPID: true },
      RuntimeDirectory: [belowRun(dir)],
      RuntimeDirectoryMode: '0700',
      ExecStart: [
        [
          ...[host.crunPath, `--root=${dir}`, '--cgroup-manager=disabled', 'create'],
          ...['--pid-file', `${dir}/pid`, '--bundle', places.absolute('holder'), places.holderId],
        ],
      ],
      ExecStartPost: [
        [
          '/bin/sh',
          places.absolute(releaseScriptPath),
          dir,
          host.crunPath,
          places.holderId,
          places.namespaces,
        ],
      ],
      ...(scheduled
        ? {}
        : {
            Restart: 'always',
            // A restart must not pass through a failed state, which would stop the apps for good:
            // they are restarted with it.
            RestartMode: 'direct',
            RestartSec: 1,
            RestartSteps: 4,
            RestartMaxDelaySec: 30,
          }),
      // It has nothing to clean up, and would ignore another signal in its first moments.
      KillSignal: 'SIGKILL',
      SuccessExitStatus: 'SIGKILL',
      TimeoutStopSec: 10,
      DevicePolicy: 'closed',
      Slice: [places.slice],
      StandardInput: 'null',
      SyslogIdentifier: 'wherry-holder',
      LogExtraFields: { WHERRY_POD: podName },
      ...(host.controllers.includes('pids') ? { TasksMax: 16 } : {}),
    },
  });
}

/** The active set: one file with all pods that start at boot, which is replaced as a whole. */
export function podsTargetText(units: readonly string[]): string {
  return unitText({ Unit: { Description: 'Pods of wherry', Wants: units } });
}

/** RuntimeDirectory= is relative to /run. */
function belowRun(path: string): string {
  if (!path.startsWith('/run/')) throw new Error(`must be below /run: ${path}`);
  return path.slice('/run/'.length);
}
