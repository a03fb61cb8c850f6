import { isRefusal, refusalAt } from '../../core/refusal/index.ts';
import {
  decodeEnvelope,
  encodeDesiredState,
  encodeEnvelope,
  type DeployPolicy,
  type DesiredImage,
  type DesiredPod,
  type DesiredSecret,
  type DesiredState,
  type Share,
} from '../../wire/trust/index.ts';
import { composeDesired } from './compose.ts';
import type { FleetDirectory } from './fleet-directory.ts';

/** The part of a desired state that is the same for every device of a command. */
export interface DesiredContent {
  readonly pods: readonly DesiredPod[];
  readonly images: readonly DesiredImage[];
  readonly policy?: Partial<DeployPolicy>;
  readonly secrets?: readonly DesiredSecret[];
  /** For a group: the share of its devices; absent for all of them. */
  readonly share?: Share;
  /** This target has no command any more; the next target of the device counts. */
  readonly withdrawn?: true;
}

/**
 * Makes an armored detached signature over `payload` with this creation time, in seconds since
 * 1970.
 */
export type Sign = (payload: Uint8Array, atSeconds: number) => Promise<string>;

/**
 * The desired state with this content; the policy of the fleet applies where the content has none.
 */
export function desiredOf(
  fleet: FleetDirectory,
  content: DesiredContent,
  to: Pick<DesiredState, 'target' | 'version'> & { readonly nowSeconds: number },
): DesiredState {
  const { validDays, ...policy } = fleet.config.deploy;
  const { share } = content;
  const isPart = 'group' in to.target && share !== undefined;
  return composeDesired({
    ...to,
    target: isPart ? { ...to.target, share } : to.target,
    fleet: fleet.config.fleet,
    validDays,
    pods: content.pods,
    images: content.images,
    policy: { ...policy, ...content.policy },
    secrets: content.secrets ?? [],
    ...(content.withdrawn === true ? { withdrawn: true } : {}),
  });
}

/**
 * Returns a function that makes the envelope of a desired state, signed once at its time of issue:
 * by `sign`, or by the fleet's deploy key, which is read once and not for each envelope.
 * @throws Refusal `not-found` without a deploy key; the returned function `input-invalid` for a key
 *   that no device accepts
 */
export async function signerOf(
  fleet: FleetDirectory,
  sign?: Sign,
): Promise<(desired: DesiredState) => Promise<Uint8Array>> {
  const signature = await signatureOf(fleet, sign);
  return async (desired) => {
    const payload = encodeDesiredState(desired);
    return encodeEnvelope({ payload, signatures: [await signature(payload, desired.issued)] });
  };
}

/** `sign`, or the signatures of the fleet's deploy key. It throws as `signerOf` does. */
export async function signatureOf(fleet: FleetDirectory, sign?: Sign): Promise<Sign> {
  if (sign !== undefined) return sign;
  const key = await fleet.key('deploy', 'private');
  // Copies of the public half may hold a revocation.
  const copies = await fleet.copiesOf('deploy');
  // Loads OpenPGP only when something is signed.
  const { signDetached } = await import('../../wire/trust/sign.ts');
  return (payload, atSeconds) =>
    signDetached(payload, key, atSeconds, copies).catch((error: unknown) => {
      throw refusalAt(fleet.keyPath('deploy', 'private'), error);
    });
}

/**
 * The envelope with one more signature, and the same with that signature alone. A duplicate is
 * dropped. `enoughSignatures` checks which key made it.
 *
 * @throws Refusal `signature-malformed` when `sign` did not return a signature
 */
export async function addSignature(
  envelope: Uint8Array,
  sign: Sign,
  atSeconds: number,
): Promise<{ readonly envelope: Uint8Array; readonly alone: Uint8Array }> {
  const { payload, signatures } = decodeEnvelope(envelope);
  const added = await sign(payload, atSeconds);
  const { verifyEnvelope } = await import('../../wire/trust/openpgp.ts');
  const anyTime = { nowSeconds: atSeconds, clockTrusted: false };
  await verifyEnvelope(payload, [added], [], anyTime).catch((error: unknown) => {
    if (!isRefusal(error, 'key-unknown')) throw error;
  });
  return {
    envelope: encodeEnvelope({ payload, signatures: [...new Set([...signatures, added])] }),
    alone: encodeEnvelope({ payload, signatures: [added] }),
  };
}
