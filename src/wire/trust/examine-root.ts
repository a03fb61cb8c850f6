import { Refusal, refusalAt } from '../../core/refusal/index.ts';
import { readCertificates } from './certificates.ts';
import { verifyEnvelope } from './command-signature.ts';
import { decodeEnvelope } from './envelope.ts';
import { type DeviceTime, refuseFuture } from './judge.ts';
import { judgeRoot, signersOf } from './root-judge.ts';
import { decodeRoot } from './root-codec.ts';
import type { RootDocument } from './root.ts';
import { alreadyVerified, type VerifiedPayload } from './verified-payload.ts';

/** What a root is examined against. */
export interface RootContext {
  /**
   * The trusted root. Absent when the administrator of the device has installed the file: only then
   * its own keys suffice.
   */
  readonly trusted?: RootDocument;
  readonly fleet: string;
  readonly time: DeviceTime;
  /** Keys of the device and revocation certificates; their packets count for the keys of roots. */
  readonly copies?: readonly string[];
}

export interface ExaminedRoot {
  readonly outcome: 'new' | 'same';
  readonly root: RootDocument;
  /** The exact bytes that were signed. */
  readonly payload: VerifiedPayload;
  /** Fingerprints of the keys of its own role `root` that signed, lower-case hex. */
  readonly signedBy: readonly string[];
}

/**
 * From the bytes of a message to a root that may be trusted (TUF 1.0.34 §5.3). The order is the
 * defence: the keys of the trusted root have signed bytes that nobody has parsed, then their
 * meaning, then whether it is the next version for this fleet, then the keys of the new root
 * itself.
 *
 * @throws {Refusal} with any code of the class `command` that is about envelopes, signatures and
 *   roots
 */
export async function examineRoot(message: Uint8Array, context: RootContext): Promise<ExaminedRoot> {
  const { payload: signed, signatures } = decodeEnvelope(message);
  const { trusted, time, copies } = context;
  const payload =
    trusted === undefined
      ? alreadyVerified(signed, 'installed-root')
      : await verifiedBy(trusted, 'the trusted root', signed, signatures, time, copies);
  const root = decodeRoot(payload);
  const outcome = judgeRoot(root, trusted, context.fleet);
  await requireCertificates(root);
  const { keys, threshold } = signersOf(root, 'root');
  const { fingerprints } = await verifyEnvelope(payload, signatures, keys, time, copies, threshold).catch(
    naming(`root ${root.version} itself`),
  );
  if (outcome === 'new') refuseFuture(`root ${root.version}`, root.issued, time);
  return { outcome, root, payload, signedBy: fingerprints };
}

async function verifiedBy(
  root: RootDocument,
  whose: string,
  payload: Uint8Array,
  signatures: readonly string[],
  time: DeviceTime,
  copies: readonly string[] | undefined,
): Promise<VerifiedPayload> {
  const { keys, threshold } = signersOf(root, 'root');
  const verified = await verifyEnvelope(payload, signatures, keys, time, copies, threshold).catch(
    naming(`${whose} (${root.version})`),
  );
  return verified.payload;
}

/** Names the root whose keys were used: a root is signed by those of two roots. */
function naming(whose: string): (error: unknown) => never {
  return (error) => {
    throw refusalAt(`by the role root of ${whose}`, error);
  };
}

/**
 * Each certificate must have the fingerprint under which it is listed, and be the only one: roles
 * name keys by fingerprints, and the code that applies them later has no OpenPGP to check.
 *
 * @throws {Refusal} `root-malformed`
 */
async function requireCertificates(root: RootDocument): Promise<void> {
  for (const [fingerprint, armored] of Object.entries(root.keys)) {
    const { certificates, unreadable } = await readCertificates([armored]);
    const [only] = certificates;
    const reason =
      unreadable[0]?.reason ??
      (certificates.length === 1 && only !== undefined
        ? only.key.getFingerprint() === fingerprint
          ? undefined
          : `it is ${only.key.getFingerprint()}`
        : `it holds ${certificates.length} keys`);
    if (reason !== undefined) throw new Refusal('root-malformed', `root/keys/${fingerprint}: ${reason}`);
  }
}
