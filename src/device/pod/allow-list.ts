import type { PodManifest, Volume } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { DeclaredPorts } from '../network/index.ts';
import { type AppDevice, matchesDevice } from './devices.ts';

/** Isolators that can take protection away from the device. */
export const privilegedIsolators = [
  'os/linux/oom-score-adj',
  'os/linux/seccomp-retain-set',
  'os/linux/selinux-context',
] as const;
export type PrivilegedIsolator = (typeof privilegedIsolators)[number];

/**
 * What the pods of this device may use: `[allow]` of wherry.toml. Everything else is refused. The
 * host's network has its own setting, `network.allow_host`.
 */
export interface AllowList {
  /** Paths of the host at or below which volumes may be. */
  readonly volumes: readonly { readonly path: string; readonly readOnly: boolean }[];
  /** Device nodes: paths below /dev, in which `*` stands for any part of one name. */
  readonly devices: readonly string[];
  readonly capabilities: ReadonlySet<string>;
  /** Whether an app may run as user 0. */
  readonly root: boolean;
  /** Inclusive. */
  readonly hostPorts: readonly { readonly first: number; readonly last: number }[];
  readonly isolators: ReadonlySet<PrivilegedIsolator>;
}

/** A pod as it would run, by its manifest and its images. */
export interface JudgedPod {
  readonly name: string;
  readonly manifest: Pick<PodManifest, 'volumes' | 'apps'>;
  readonly apps: readonly JudgedApp[];
  readonly ports: DeclaredPorts;
}

export interface JudgedApp {
  readonly name: string;
  readonly uid: number;
  readonly devices: readonly AppDevice[];
  /** The bounding set. */
  readonly capabilities: readonly string[];
  readonly noNewPrivileges: boolean;
  readonly oomScoreAdj?: number | undefined;
  /** The context that it would get in place of the one by the policy. */
  readonly selinuxLabel?: string | undefined;
  /** A system call that its filter allows and the default does not; absent when there is none. */
  readonly beyondFilter?: string | undefined;
}

/**
 * Why this device does not run the pod: the first field that the allow-list forbids. Undefined when
 * it allows all fields. The compiled pod is judged, so different ways to write the same pod get the
 * same verdict.
 *
 * @returns Refusal `pod-forbidden`
 */
export function judge(pod: JudgedPod, allow: AllowList): Refusal | undefined {
  for (const [field, volume] of volumesOf(pod)) {
    if (volume.kind !== 'host') continue;
    const why = judgePath(volume.source, volume.readOnly, allow);
    if (why !== undefined) return forbidden(`${field}/source: ${why}`);
  }
  for (const app of pod.apps) {
    const why = judgeApp(app, allow);
    if (why !== undefined) return forbidden(`pod ${pod.name}, app ${app.name}: ${why}`);
  }
  for (const { field, protocol, first, last } of pod.ports) {
    if (allow.hostPorts.some((range) => range.first <= first && last <= range.last)) continue;
    const ports = first === last ? String(first) : `${first}-${last}`;
    return forbidden(`${field}: ${ports}/${protocol} is not in ${setting('host_ports')}`);
  }
  return undefined;
}

/**
 * Why a path of the host may not be a volume; undefined when it may. Also used for the target of a
 * symbolic link.
 */
export function judgePath(
  path: string,
  readOnly: boolean,
  { volumes }: Pick<AllowList, 'volumes'>,
): string | undefined {
  const above = volumes.filter((allowed) => isWithin(path, allowed.path));
  if (above.length === 0) return `${quoted(path)} is not below a path of ${setting('volumes')}`;
  if (readOnly || above.some((allowed) => !allowed.readOnly)) return undefined;
  return `${quoted(path)} is for reading only by ${setting('volumes')}; add "readOnly": true`;
}

function judgeApp(app: JudgedApp, allow: AllowList): string | undefined {
  if (!allow.root && app.uid === 0) {
    return `user: it is user 0, which ${setting('root')} forbids; name another user`;
  }
  if (!allow.root && !app.noNewPrivileges) {
    return `isolators/os/linux/no-new-privileges: must be true where ${setting('root')} is false, else a program of the image could become user 0`;
  }
  const device = app.devices.find(
    ({ path }) => !allow.devices.some((pattern) => matchesDevice(path, pattern)),
  );
  if (device !== undefined) {
    return `annotations/wherry/devices: ${quoted(device.path)} is not in ${setting('devices')}`;
  }
  const capability = app.capabilities.find((name) => !allow.capabilities.has(name));
  if (capability !== undefined) {
    return `isolators/os/linux/capabilities-retain-set: ${capability} is not in ${setting('capabilities')}; name a set without it`;
  }
  if (app.beyondFilter !== undefined && !allow.isolators.has('os/linux/seccomp-retain-set')) {
    return `isolators/os/linux/seccomp-retain-set: it allows ${app.beyondFilter}, and the isolator is not in ${setting('isolators')}`;
  }
  if ((app.oomScoreAdj ?? 0) < 0 && !allow.isolators.has('os/linux/oom-score-adj')) {
    return `isolators/os/linux/oom-score-adj: it is below 0, and the isolator is not in ${setting('isolators')}`;
  }
  if (app.selinuxLabel !== undefined && !allow.isolators.has('os/linux/selinux-context')) {
    return `isolators/os/linux/selinux-context: the isolator is not in ${setting('isolators')}`;
  }
  return undefined;
}

/** Every volume with its field, whether an app mounts it or not. */
function volumesOf({ name, manifest }: JudgedPod): readonly (readonly [field: string, volume: Volume])[] {
  return [
    ...manifest.volumes.map((volume) => [`pod ${name}: volumes/${volume.name}`, volume] as const),
    ...manifest.apps.flatMap((app) =>
      app.mounts.flatMap(({ path, appVolume }) =>
        appVolume === undefined
          ? []
          : [[`pod ${name}, app ${app.name}: mounts${path}/appVolume`, appVolume] as const],
      ),
    ),
  ];
}

/** Manifests have no `..` in paths; `//` and `/./` are `/` to the kernel. */
function isWithin(path: string, parent: string): boolean {
  const parts = (text: string) => text.split('/').filter((part) => part !== '' && part !== '.');
  const [inner, outer] = [parts(path), parts(parent)];
  return outer.every((part, index) => inner[index] === part);
}

function setting(key: string): string {
  return `allow.${key} of wherry.toml on this device`;
}

/** The path may be long, and not printable. */
function quoted(path: string): string {
  return JSON.stringify(path.slice(0, 200));
}

function forbidden(message: string): Refusal {
  return new Refusal('pod-forbidden', message);
}
