import type { AcName } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type {
  DesiredImage,
  DesiredPod,
  DesiredSecret,
  DesiredState,
  DeployPolicy,
  Target,
} from '../../wire/trust/index.ts';
import type { DeviceReport } from '../../wire/report/index.ts';
import { folderOf, type PublishedVersion } from './fleet-directory.ts';
import type { OfferedImage } from './offered-image.ts';
import type { TargetName } from './target-name.ts';

export interface Composition {
  readonly fleet: AcName;
  readonly target: Target;
  readonly version: number;
  /** Seconds since 1970. */
  readonly nowSeconds: number;
  readonly validDays: number;
  readonly pods: readonly DesiredPod[];
  readonly images: readonly DesiredImage[];
  readonly policy: DeployPolicy;
  readonly secrets?: readonly DesiredSecret[];
  readonly withdrawn?: true;
}

/** The document to sign. */
export function composeDesired(composition: Composition): DesiredState {
  const { fleet, target, version, nowSeconds, validDays, pods, images, policy, secrets = [] } = composition;
  return {
    format: 1,
    fleet,
    target,
    version,
    issued: nowSeconds,
    expires: nowSeconds + validDays * 86_400,
    pods,
    images,
    policy,
    ...(secrets.length === 0 ? {} : { secrets }),
    ...(composition.withdrawn === true ? { withdrawn: true } : {}),
  };
}

/**
 * The entry of a desired state for an image that devices find at `urls`.
 * @param renderedBytes see `DesiredImage`
 */
export function desiredImage(
  image: OfferedImage,
  urls: readonly string[],
  renderedBytes?: number,
): DesiredImage {
  const { id, manifest, sizeBytes, tarSizeBytes } = image;
  const rendered = renderedBytes === undefined ? {} : { renderedBytes };
  return { id, name: manifest.name, labels: manifest.labels, sizeBytes, tarSizeBytes, ...rendered, urls };
}

/**
 * The version after every version that this directory published and every version that the device
 * reports as trusted: a second operator, or a restored directory, must not send what the device
 * refuses as `version-older`. The version that runs on a device with a root may be higher and no
 * longer count: versions restart when a root removes a deploy key.
 * @param target the name of the device, or `@` and that of a group
 * @param report undefined when the device never reported
 * @throws Refusal `version-older` when no version is left
 */
export function nextVersion(
  target: TargetName,
  history: readonly PublishedVersion[],
  report: Pick<DeviceReport, 'trustedVersion' | 'currentVersion' | 'group' | 'root'> | undefined,
): number {
  const { trustedVersion, currentVersion, group, root } = report ?? { trustedVersion: 0, currentVersion: 0 };
  // The running version may be one of a group, which is counted separately.
  const bound =
    root === undefined && group === undefined ? Math.max(trustedVersion, currentVersion) : trustedVersion;
  const published = Math.max(...history.map(({ version }) => version), 0);
  const next = Math.max(bound, published) + 1;
  if (next <= Number.MAX_SAFE_INTEGER) return next;
  const rotate =
    'rotate the root of trust to remove a deploy key ("wherry trust root rotate --drop FINGERPRINT"): versions then start again';
  const advice =
    bound < published
      ? `${rotate}; then move ${folderOf(target)}/${published}.cbor out of the fleet directory`
      : root === undefined
        ? `give the device a root of trust ("wherry trust root init"), then ${rotate}`
        : rotate;
  const who = bound < published ? `which was published for ${target}` : `which ${target} has trusted`;
  throw new Refusal('version-older', `there is no version after ${next - 1}, ${who}; ${advice}`);
}

/**
 * The version whose pods a rollback brings back: the newest one before `current` that did not fail.
 * @param current the version that runs; undefined when the device never reported it
 * @throws Refusal `not-found`
 */
export function rollbackTarget(history: readonly PublishedVersion[], current: number | undefined): number {
  const running = current ?? history.findLast(({ outcome }) => outcome === 'committed')?.version ?? 0;
  const candidates = history.filter(({ version }) => version < running);
  const target =
    candidates.findLast(({ outcome }) => outcome === 'committed') ??
    candidates.findLast(({ outcome }) => outcome === undefined);
  if (target === undefined) {
    const known = history.length === 0 ? 'nothing was published from here' : `versions ${describe(history)}`;
    throw new Refusal('not-found', `there is no earlier version to go back to (${known})`);
  }
  return target.version;
}

function describe(history: readonly PublishedVersion[]): string {
  return history.map(({ version, outcome }) => `${version} ${outcome ?? 'unknown'}`).join(', ');
}
