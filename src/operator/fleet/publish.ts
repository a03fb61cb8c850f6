import type { AcName } from '../../image/appc/index.ts';
import type { Clock } from '../../core/ports/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import {
  alreadyVerified,
  decodeDesiredState,
  decodeEnvelope,
  encodeDesiredState,
  encodeEnvelope,
  type DesiredImage,
  type DesiredPod,
  type DeployPolicy,
  type DesiredState,
} from '../../wire/trust/index.ts';
import { composeDesired, nextVersion, rollbackTarget } from './compose.ts';
import type { Outcome, Progress } from './device-view.ts';
import type { FleetDirectory } from './fleet-directory.ts';
import type { FleetLink } from './fleet-link.ts';

/** The part of a desired state that is the same for every device of a command. */
export interface DesiredContent {
  readonly pods: readonly DesiredPod[];
  readonly images: readonly DesiredImage[];
  readonly policy?: Partial<DeployPolicy>;
}

export interface Published {
  readonly device: string;
  readonly version: number;
  readonly bytes: number;
  /** Whether the broker returns the command. */
  isKept(): Promise<boolean>;
  /** Follows the device to its answer. See `FleetLink.follow`. */
  follow(timeoutMs: number, onProgress: (progress: Progress) => void): Promise<Outcome>;
}

interface Means {
  readonly fleet: FleetDirectory;
  /** Must be listening to the device. */
  readonly link: FleetLink;
  readonly clock: Clock;
}

/**
 * Makes the next desired state of a device from `content`, signs it, keeps it and publishes it.
 * @throws Refusal `desired-malformed`, `envelope-too-large` for what no device would take, `not-found` without a deploy key
 */
export async function publishContent(
  means: Means,
  device: AcName,
  content: DesiredContent,
): Promise<Published> {
  const { fleet, link, clock } = means;
  const report = link.view(device).report;
  const trusted = Math.max(report?.trustedVersion ?? 0, report?.currentVersion ?? 0);
  const version = nextVersion(await fleet.history(device), trusted);
  const nowSeconds = Math.floor(clock.nowMs() / 1000);
  const { validDays, ...policy } = fleet.config.deploy;
  const desired = composeDesired({
    fleet: fleet.config.fleet,
    device,
    version,
    nowSeconds,
    validDays,
    pods: content.pods,
    images: content.images,
    policy: { ...policy, ...content.policy },
  });
  const envelope = await signDesired(
    desired,
    await fleet.key('deploy', 'private'),
    await fleet.copiesOf('deploy'),
  );
  await fleet.claim(device, version, envelope);
  const eventsBefore = link.view(device).eventCount;
  try {
    await link.publishDesired(device, { version, envelope });
  } catch (error) {
    // Nobody else may publish later what failed here in the operator's eyes.
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
 * The envelope of `desired`, signed by one key at its time of issue.
 * @param copies of the public half, that may say more about the key
 * @throws Refusal `input-invalid` for a key that no device takes
 */
export async function signDesired(
  desired: DesiredState,
  privateKey: string,
  copies: readonly string[] = [],
): Promise<Uint8Array> {
  // Loads OpenPGP, which only those who sign should pay for.
  const { signDetached } = await import('../../wire/trust/sign.ts');
  const payload = encodeDesiredState(desired);
  const signature = await signDetached(payload, privateKey, desired.issued, copies);
  return encodeEnvelope({ payload, signatures: [signature] });
}

/**
 * The content of an earlier version, to be published again under a new number: versions never go back.
 * @param to the version to go back to; by default the newest before the running one that did not fail
 * @throws Refusal `not-found`
 */
export async function earlierContent(
  means: Means,
  device: string,
  to?: number,
): Promise<{ readonly version: number; readonly content: DesiredContent }> {
  const { fleet, link } = means;
  const current = link.view(device).report?.currentVersion;
  const version = to ?? rollbackTarget(await fleet.history(device), current === 0 ? undefined : current);
  const { payload } = decodeEnvelope(await fleet.envelope(device, version));
  const { pods, images, policy, target } = decodeDesiredState(alreadyVerified(payload, 'own-history'));
  if (target.device !== device) {
    throw new Refusal(
      'wrong-device',
      `version ${version} in the history of ${device} is for ${target.device}`,
    );
  }
  return { version, content: { pods, images, policy } };
}
