import type { AcName } from '../../image/appc/index.ts';
import type { Clock } from '../../core/ports/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import {
  contentAgain,
  desiredOf,
  messageFor,
  nextVersion,
  requireDeviceKeys,
  requireEnough,
  signerOf,
  type DesiredContent,
  type FleetDirectory,
  type FleetLink,
  type Sign,
} from '../../operator/fleet/index.ts';
import {
  alreadyVerified,
  decodeDesiredState,
  decodeEnvelope,
  type DesiredState,
  type SecretValue,
} from '../../wire/trust/index.ts';
import type { Commands } from '../database/index.ts';
import { wavesOf, type Member, type Rollout, type Rules, type Stage } from '../rollout/index.ts';

export interface RolloutRequest {
  readonly id: string;
  readonly devices: readonly AcName[];
  readonly content: DesiredContent;
  /** Of the secrets that `content` names. */
  readonly values: readonly SecretValue[];
  readonly stages: readonly Stage[];
  readonly rules: Rules;
  /** Whether commands that bring back what devices have now are signed, too. */
  readonly canUndo: boolean;
  /** Whether other people sign its commands before they are sent. */
  readonly othersSign: boolean;
}

interface Means {
  readonly fleet: FleetDirectory;
  /** Must be listening to the devices. */
  readonly link: FleetLink;
  readonly clock: Clock;
  /** Signs in place of the fleet's deploy key. */
  readonly sign?: Sign;
}

/** Advice for a rollout whose commands too few people have signed. */
const advice = 'start it with --sign-only, and have others sign it with "wherry rollout sign"';

/**
 * Signs every command that a rollout will ever send, for each device the one of the rollout and the
 * one that undoes it. So the deploy key is needed here only, and a controller can publish only
 * commands that were signed before. Nothing is signed until each device's versions are known to
 * fit. Values of secrets are encrypted here, too, unless others must sign first.
 * @param onSigned called with the number of devices done
 * @throws Refusal `not-found` when a device runs a version that this fleet directory does not have,
 *   `device-key-missing` when there are values and the key of a device is not known, and as
 *   `signContent`
 */
export async function prepareRollout(
  means: Means,
  request: RolloutRequest,
  onSigned: (done: number) => void = () => undefined,
): Promise<{ readonly rollout: Rollout; readonly commands: ReadonlyMap<string, Commands> }> {
  const { fleet, link, clock } = means;
  const nowSeconds = Math.floor(clock.nowMs() / 1000);
  const { content, values, othersSign } = request;
  if (values.length > 0) await requireDeviceKeys(fleet, request.devices);
  const signer = await signerOf(fleet, means.sign);
  const waves = wavesOf(request.id, request.devices, request.stages);
  const compose = (device: string, version: number, content: DesiredContent): DesiredState =>
    desiredOf(fleet, content, { target: { device: device as AcName }, version, nowSeconds });
  const members: Member[] = [];
  const undoContents = new Map<string, DesiredContent>();
  for (const [wave, devices] of waves.entries()) {
    for (const device of devices) {
      const history = await fleet.history(device);
      const version = nextVersion(device, history, link.view(device).report);
      const before = runningVersion(means, device, history);
      const undone = request.canUndo ? { undoVersion: version + 1 } : {};
      members.push({ device, wave, before, version, ...undone });
      if (request.canUndo) undoContents.set(device, await contentBefore(means, device, before));
    }
  }
  const commands = new Map<string, Commands>();
  for (const { device, version } of members) {
    const command = await signer(compose(device, version, content));
    if (commands.size === 0)
      await requireEnough(means, command, { ...(othersSign ? { threshold: 1 } : {}), advice });
    const isSealed = values.length > 0 && !othersSign;
    const sealed = isSealed ? { sealed: await messageFor(fleet, device, command, values) } : {};
    const before = undoContents.get(device);
    const undo = before === undefined ? {} : { undo: await signer(compose(device, version + 1, before)) };
    commands.set(device, { command, ...sealed, ...undo });
    onSigned(commands.size);
  }
  const rollout: Rollout = {
    id: request.id,
    fleet: fleet.config.fleet,
    created: nowSeconds,
    expires: nowSeconds + fleet.config.deploy.validDays * 86_400,
    stages: request.stages,
    rules: request.rules,
    phase: othersSign ? 'signing' : 'running',
    approvedWaves: 0,
    members,
  };
  return { rollout, commands };
}

/** The own version that a device runs, from its report, or from the fleet directory without one. */
function runningVersion(
  { link }: Means,
  device: string,
  history: Awaited<ReturnType<FleetDirectory['history']>>,
): number {
  const { report } = link.view(device);
  if (report !== undefined) return report.group === undefined ? report.currentVersion : 0;
  return history.findLast(({ outcome }) => outcome === 'committed')?.version ?? 0;
}

/**
 * The content that undoes a rollout: a device that ran its group's version returns to the group.
 */
async function contentBefore(
  { fleet, link }: Means,
  device: string,
  version: number,
): Promise<DesiredContent> {
  if (link.view(device).report?.group !== undefined) return { pods: [], images: [], withdrawn: true };
  return await contentOf(fleet, device, version);
}

/** The content of `version`; empty for a device that runs none. */
async function contentOf(fleet: FleetDirectory, device: string, version: number): Promise<DesiredContent> {
  if (version === 0) return { pods: [], images: [] };
  const envelope = await fleet.plainEnvelope(device, version).catch((cause: unknown) => {
    throw new Refusal(
      'not-found',
      `${device} runs version ${version}, which is not in this fleet directory, so the rollout could not be undone there; use --no-undo to go without`,
      { cause },
    );
  });
  return contentAgain(decodeDesiredState(alreadyVerified(decodeEnvelope(envelope).payload, 'own-history')));
}
