import type { Clock } from '../../core/ports/index.ts';
import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import {
  addSignature,
  enoughSignatures,
  type FleetDirectory,
  messageFor,
  requireNamedValues,
  type Sign,
  signatureOf,
} from '../../operator/fleet/index.ts';
import {
  alreadyVerified,
  decodeDesiredState,
  decodeEnvelope,
  type DesiredState,
  type SecretValue,
} from '../../wire/trust/index.ts';
import type { Commands, RolloutStore } from '../database/index.ts';
import type { Member, Rollout } from '../rollout/index.ts';

interface Means {
  readonly fleet: FleetDirectory;
  readonly store: RolloutStore;
  readonly clock: Clock;
  /** Signs in place of the fleet's deploy key. */
  readonly sign?: Sign;
  /** Of the secrets that the rollout names: who completes its signatures gives them again. */
  readonly values: readonly SecretValue[];
}

/** The content of a rollout that waits for signatures. */
export interface Described {
  readonly rollout: Rollout;
  /** The different contents of its commands, each with its number of devices. */
  readonly contents: readonly Content[];
}

interface Content {
  readonly isUndo: boolean;
  readonly desired: DesiredState;
  readonly devices: number;
}

/**
 * Adds the signature of one more person to every command of a rollout, including those that undo
 * it. When the threshold of the fleet's root is met, the rollout may run.
 *
 * @param show called with what is about to be signed; nothing is signed when it returns false
 * @param onSigned called with the number of devices done
 * @returns whether the rollout may run now; undefined when nothing was signed
 * @throws Refusal `not-found`, `input-invalid` when it does not wait for signatures, when a command
 *   does not match the rollout, or when another process changed the rollout meanwhile,
 *   `secret-mismatch`, `usage` when a value is missing, and as `enoughSignatures` and `messageFor`
 */
export async function countersignRollout(
  means: Means,
  id: string,
  show: (described: Described) => boolean,
  onSigned: (done: number) => void = () => undefined,
): Promise<boolean | undefined> {
  const { fleet, store, clock, values } = means;
  const { rollout, revision } = await store.load(id);
  if (rollout.phase !== 'signing')
    throw new Refusal(
      'input-invalid',
      `the rollout ${id} is ${rollout.phase}; sign is for one that was started with --sign-only`,
    );
  const commands = await store.allCommands(id);
  const contents = contentsOf(rollout, commands);
  if (!show({ rollout, contents })) return undefined;
  const wanted = contents.filter(({ isUndo }) => !isUndo).map(({ desired }) => desired);
  for (const desired of wanted) requireNamedValues(`the rollout ${id}`, desired, values);

  const sign = await signatureOf(fleet, means.sign);
  const requireEnough = await enoughSignatures({ fleet, clock });
  const atSeconds = Math.floor(clock.nowMs() / 1000);
  let isFirst = true;
  let lacking = 0;
  const signed = async (envelope: Uint8Array): Promise<Uint8Array> => {
    const added = await addSignature(envelope, sign, atSeconds);
    // A key without the role is found before thousands of signatures are made.
    if (isFirst) await requireEnough(added.alone, { threshold: 1 });
    isFirst = false;
    await requireEnough(added.envelope).catch((error: unknown) => {
      if (!isRefusal(error, 'threshold-not-met')) throw error;
      lacking += 1;
    });
    return added.envelope;
  };
  const countersigned = new Map<string, Commands>();
  for (const [device, { command: former, undo }] of commands) {
    const command = await signed(former);
    const mayRun = lacking === 0;
    if (mayRun && countersigned.size === 0) requireAllValues(id, wanted, values);
    countersigned.set(device, {
      command,
      ...(mayRun && values.length > 0 ? { sealed: await messageFor(fleet, device, command, values) } : {}),
      ...(undo === undefined ? {} : { undo: await signed(undo) }),
    });
    onSigned(countersigned.size);
  }
  const phase = lacking === 0 ? 'running' : 'signing';
  if (!(await store.replaceCommands(id, revision, countersigned, phase)))
    throw new Refusal('input-invalid', `somebody else changed the rollout ${id} meanwhile; sign it again`);
  return lacking === 0;
}

/** @throws Refusal `usage` */
function requireAllValues(id: string, wanted: readonly DesiredState[], values: readonly SecretValue[]): void {
  const named = wanted.flatMap(({ secrets = [] }) => secrets.map(({ name }) => name));
  const missing = named.find((name) => !values.some((value) => value.name === name));
  if (missing !== undefined)
    throw new Refusal(
      'usage',
      `the rollout ${id} names the secret ${missing}, and its values are not stored; give it again with --secret ${missing}=@FILE`,
    );
}

/**
 * The contents of the commands, so that people see what they sign.
 * @throws Refusal `input-invalid` when a command has another fleet, device or version than the
 *   rollout
 */
function contentsOf(rollout: Rollout, commands: ReadonlyMap<string, Commands>): readonly Content[] {
  const contents = new Map<string, Content>();
  const add = (member: Member, envelope: Uint8Array, version: number, isUndo: boolean): void => {
    const desired = decodeDesiredState(alreadyVerified(decodeEnvelope(envelope).payload, 'own-history'));
    const { target } = desired;
    const isOwn = 'device' in target && target.device === member.device;
    if (desired.fleet !== rollout.fleet || !isOwn || desired.version !== version)
      throw new Refusal(
        'input-invalid',
        `the rollout ${rollout.id} holds a command for ${member.device} that is for another device, version or fleet; do not sign it`,
      );
    const key = JSON.stringify([isUndo, sameForAll(desired)]);
    contents.set(key, { isUndo, desired, devices: (contents.get(key)?.devices ?? 0) + 1 });
  };
  for (const member of rollout.members) {
    const signed = commands.get(member.device);
    if (signed === undefined) throw new Error(`no command for ${member.device}`);
    add(member, signed.command, member.version, false);
    if (signed.undo !== undefined && member.undoVersion !== undefined)
      add(member, signed.undo, member.undoVersion, true);
  }
  return [...contents.values()];
}

/** The part of a desired state that is equal for devices with the same content. */
function sameForAll({ pods, images, policy, secrets, withdrawn }: DesiredState): unknown {
  const manifests = pods.map(({ name, manifest }) => [name, Buffer.from(manifest).toString('base64')]);
  return [manifests, images.map(({ id, urls }) => [id, urls]), policy, secrets, withdrawn];
}
