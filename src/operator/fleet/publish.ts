import { parseAcName } from '../../image/appc/index.ts';
import type { Clock } from '../../core/ports/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import {
  alreadyVerified,
  decodeDesiredState,
  decodeEnvelope,
  type DesiredState,
  type Share,
  shareOf,
  type SecretValue,
} from '../../wire/trust/index.ts';
import { nextVersion, rollbackTarget } from './compose.ts';
import type { DeviceView, Outcome, Progress } from './device-view.ts';
import { requireEnough } from './enough-signatures.ts';
import type { FleetDirectory, PublishedVersion } from './fleet-directory.ts';
import { type OfferedImage, offerImages } from './offered-image.ts';
import { messageFor } from './secrets.ts';
import { desiredOf, type DesiredContent, type Sign, signerOf } from './sign-content.ts';
import type { FleetLink } from './fleet-link.ts';
import { isAddressed } from './share.ts';
import { parseTargetName, targetName, type TargetName } from './target-name.ts';

export interface Published {
  /** A device, or a group by `@NAME`. */
  readonly device: string;
  readonly version: number;
  readonly bytes: number;
  /** Whether the broker returns the command. */
  isKept(): Promise<boolean>;
  /** Waits for the device's answer. See `FleetLink.follow`. */
  follow(timeoutMs: number, onProgress: (progress: Progress) => void): Promise<Outcome>;
}

interface Means {
  readonly fleet: FleetDirectory;
  /** Must be listening to the device. */
  readonly link: FleetLink;
  readonly clock: Clock;
  /** Signs in place of the fleet's deploy key. */
  readonly sign?: Sign;
}

/** A signed command that nothing but the broker can refuse any more. */
export interface ReadyCommand {
  readonly device: TargetName;
  readonly version: number;
  readonly envelope: Uint8Array;
  /** The envelope as it is published, encrypted if the key of the device is known. */
  readonly message: Uint8Array;
}

/**
 * Makes the next desired state of a device, or of a group by `@NAME`, from `content`, signs it, and
 * encrypts it if the key of the device is known. Nothing is stored.
 * @param values of secrets that `content` names
 * @throws Refusal `desired-malformed`, `envelope-too-large` for a command that no device would
 *   accept, `not-found` without a deploy key, `device-key-missing` for secrets without a key of the
 *   device
 */
export async function makeCommand(
  means: Means,
  device: TargetName,
  content: DesiredContent,
  values: readonly SecretValue[] = [],
): Promise<ReadyCommand> {
  const { version, envelope } = await signContent(means, device, content);
  await requireEnough(means, envelope);
  return { device, version, envelope, message: await messageFor(means.fleet, device, envelope, values) };
}

/**
 * Offers images, stores a command and publishes it. @throws Refusal as `FleetDirectory.claim` and
 * the link
 */
export async function publishCommand(
  means: Pick<Means, 'fleet' | 'link'>,
  { device, version, envelope, message }: ReadyCommand,
  images: readonly OfferedImage[] = [],
): Promise<Published> {
  await offerImages(means.fleet.imagesPath, images, () =>
    means.fleet.claim(device, version, message, envelope),
  );
  return await publishEnvelope(means, device, version, message);
}

/**
 * Makes the envelope of `content` for the device's next version and signs it once.
 * @throws Refusal `desired-malformed`, `envelope-too-large`, `not-found`, `key-unknown` when the
 *   key is not one of the role, and `version-older` when no version is left
 */
export async function signContent(
  means: Means,
  device: TargetName,
  content: DesiredContent,
): Promise<{ readonly version: number; readonly envelope: Uint8Array }> {
  const { fleet, link, clock } = means;
  const target = parseTargetName(device);
  const report =
    'group' in target
      ? { trustedVersion: link.trustedVersion(device), currentVersion: 0 }
      : link.view(device).report;
  const version = nextVersion(device, await fleet.history(device), report);
  const nowSeconds = Math.floor(clock.nowMs() / 1000);
  const signed = await signerOf(fleet, means.sign);
  return { version, envelope: await signed(desiredOf(fleet, content, { target, version, nowSeconds })) };
}

/** Publishes a signed and stored command, which can then be followed. */
export async function publishEnvelope(
  { fleet, link }: Pick<Means, 'fleet' | 'link'>,
  device: string,
  version: number,
  envelope: Uint8Array,
): Promise<Published> {
  const eventsBefore = link.view(device).eventCount;
  try {
    await link.publishDesired(device, { version, envelope });
  } catch (error) {
    // The operator sees a failure here, so nothing may publish this command later.
    await fleet.recordOutcome(device, version, 'unsent');
    throw error;
  }
  return {
    device,
    version,
    bytes: envelope.length,
    isKept: () => link.isKept(device),
    async follow(timeoutMs, onProgress) {
      const outcome = await link.follow(device, version, eventsBefore, timeoutMs, onProgress);
      await fleet.recordOutcome(device, version, outcome.phase);
      return outcome;
    },
  };
}

/**
 * A command published for a group, to be followed on each device that reports to be in the group
 * and is in its share: others do not answer. Each device has its own answer. The outcome of the
 * group is that of the first device that failed, otherwise that of those that committed: `rollback`
 * returns to a version that no device refused.
 *
 * @param before the views from before it was published
 * @param share absent for all of the group
 */
export function onEachMember(
  { fleet, link }: Pick<Means, 'fleet' | 'link'>,
  published: Published,
  group: string,
  before: readonly DeviceView[],
  share?: Share,
): readonly Published[] {
  let failed = false;
  let recorded = Promise.resolve();
  const target = targetName({ group: parseAcName(group) });
  return before
    .filter((view) => isAddressed(view, fleet.config.fleet, group, share))
    .map(({ device, eventCount }) => ({
      ...published,
      device,
      async follow(timeoutMs, onProgress) {
        const { version } = published;
        const outcome = await link.follow(device, version, eventCount, timeoutMs, onProgress, group);
        // A device with its own command skips that of the group. This is not an outcome of the
        // group's.
        if (outcome.phase === 'superseded' || failed) return outcome;
        failed = outcome.phase !== 'committed';
        // Sequential: of two answers at once, the file must not keep the wrong one.
        recorded = recorded.then(() => fleet.recordOutcome(target, version, outcome.phase));
        await recorded;
        return outcome;
      },
    }));
}

/**
 * The content of an earlier version, to be published again under a new number: versions never
 * decrease.
 * @param to the version to go back to; by default the newest before the running one that did not
 *   fail
 * @throws Refusal `not-found`
 */
export async function earlierContent(
  means: Means,
  device: string,
  to?: number,
): Promise<{ readonly version: number; readonly content: DesiredContent }> {
  const { fleet, link } = means;
  const version = to ?? (await versionBefore(fleet, link, device));
  const desired = await published(fleet, device, version);
  const { target } = desired;
  if (targetName(target) !== device) {
    throw new Refusal(
      'wrong-device',
      `version ${version} in the history of ${device} is for ${targetName(target)}`,
    );
  }
  if (desired.withdrawn === true)
    throw new Refusal(
      'not-found',
      `version ${version} of ${device} is a withdrawal: it has no pods to run again`,
    );
  return { version, content: contentAgain(desired) };
}

/**
 * The content of an earlier command, to be published again. Its activation is not reused: bringing
 * back earlier pods takes effect now.
 */
export function contentAgain({ pods, images, policy, secrets }: DesiredState): DesiredContent {
  const { activation: _then, ...kept } = policy;
  return { pods, images, policy: kept, ...(secrets === undefined ? {} : { secrets }) };
}

async function published(fleet: FleetDirectory, device: TargetName, version: number): Promise<DesiredState> {
  const { payload } = decodeEnvelope(await fleet.plainEnvelope(device, version));
  return decodeDesiredState(alreadyVerified(payload, 'own-history'));
}

/** The version to which a device or a group returns by default. @throws Refusal `not-found` */
async function versionBefore(fleet: FleetDirectory, link: FleetLink, device: TargetName): Promise<number> {
  const history = await fleet.history(device);
  if (!device.startsWith('@')) {
    const report = link.view(device).report;
    const current = report?.group === undefined ? report?.currentVersion : 0;
    return rollbackTarget(history, current === 0 ? undefined : current);
  }
  // Its devices may run different versions: the newest published one is in force.
  const newest = history.findLast(({ outcome }) => outcome !== 'unsent')?.version;
  return rollbackTarget(await versionsForAll(fleet, device), newest);
}

/**
 * The versions that were published for all of a group, without withdrawals. A version for a share
 * is a trial: the next version, for a larger share, has the same pods.
 */
export async function versionsForAll(
  fleet: FleetDirectory,
  group: TargetName,
): Promise<readonly PublishedVersion[]> {
  const found = [];
  for (const one of await fleet.history(group)) {
    if (one.outcome === 'unsent') continue;
    const { withdrawn, target } = await published(fleet, group, one.version);
    if (withdrawn !== true && shareOf(target) === undefined) found.push(one);
  }
  return found;
}
