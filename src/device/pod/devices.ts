import { labelValue, type PodApp } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';

/** A device node of the host that an app has at the same path. */
export interface AppDevice {
  /** Below `/dev/`, with characters that units and scripts need not quote. */
  readonly path: string;
  readonly access: 'r' | 'rw';
}

const annotation = 'wherry/devices';
const maxDevices = 64;

/** The names that the runtime and the bundle use in /dev. */
const taken: ReadonlySet<string> = new Set([
  ...['console', 'core', 'fd', 'full', 'mqueue', 'null', 'ptmx', 'pts', 'random', 'shm'],
  ...['stderr', 'stdin', 'stdout', 'tty', 'urandom', 'wherry', 'wherry-notify', 'zero'],
]);

/**
 * The devices that the annotation `wherry/devices` of an app in the pod manifest requests. The
 * annotation of an image is not read: the builder of an image does not choose what it may access on
 * a device.
 *
 * @throws Refusal `pod-manifest-invalid`
 */
export function appDevices({ name, annotations }: PodApp): readonly AppDevice[] {
  const text = labelValue(annotations, annotation);
  if (text === undefined) return [];
  const words = text.split(',').map((word) => word.trim());
  const devices = words.map((word): AppDevice => {
    const access = /:([rwm]+)$/.exec(word)?.[1];
    const path = access === undefined ? word : word.slice(0, -access.length - 1);
    const isKnown = access === undefined || access === 'r' || access === 'rw';
    if (!isKnown || !isDevicePath(path) || taken.has(path.split('/')[2] ?? '')) throw unreadable(name, word);
    return { path, access: access === 'r' ? 'r' : 'rw' };
  });
  const double = devices.find(({ path }, index) =>
    devices.some((other, at) => at !== index && (other.path === path || path.startsWith(`${other.path}/`))),
  );
  if (double !== undefined || devices.length > maxDevices) throw unreadable(name, double?.path ?? text);
  return devices;
}

/** Whether the path can be that of a device, and needs no quoting anywhere. */
export function isDevicePath(path: string): boolean {
  return /^\/dev(\/[A-Za-z0-9][A-Za-z0-9._:+@=-]*)+$/.test(path) && path.length <= 256;
}

/** Whether a pattern of the configuration matches the path: `*` is any part of one name. */
export function matchesDevice(path: string, pattern: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[^A-Za-z0-9/]/g, '\\$&'));
  return new RegExp(`^${parts.join('[^/]*')}$`).test(path);
}

/** The list of an app's devices, one per line. The start script checks that they exist. */
export function deviceList(devices: readonly AppDevice[]): string {
  return devices.map(({ path }) => `${path}\n`).join('');
}

function unreadable(app: string, word: string): Refusal {
  return new Refusal(
    'pod-manifest-invalid',
    `app ${app}: annotation ${annotation}: expected at most ${maxDevices} different nodes below /dev that an app does not have anyway, such as "/dev/ttyUSB0,/dev/hwrng:r", found ${JSON.stringify(word.slice(0, 80))}`,
  );
}
