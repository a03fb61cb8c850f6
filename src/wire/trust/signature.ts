import { createHash, type Hash } from 'node:crypto';
import * as openpgp from 'openpgp';
import { Refusal, type RefusalCode } from '../../core/refusal/index.ts';
import { isUtf16, type ReadCertificates } from './certificates.ts';
import { judgedAt, weaknessOf, whyUnusable } from './key-judgement.ts';
import { maxSignatureBytes } from './envelope.ts';
import type { DeviceTime } from './judge.ts';
import { refuseMissingPart, whyNotJudged } from './library-outcomes.ts';

/** What can be wrong with a signature. Commands and images have their own codes for it. */
export type SignatureFault = 'malformed' | 'mismatch' | 'unknown' | 'unusable';
export type FaultCodes = Readonly<Record<SignatureFault, RefusalCode>>;

/**
 * Hashes that may be signed, with their names in node:crypto. MD5, RIPEMD-160, SHA-1 and SHA-224
 * are too weak.
 */
export const hashes: Readonly<Partial<Record<openpgp.enums.hash, string>>> = {
  [openpgp.enums.hash.sha256]: 'sha256',
  [openpgp.enums.hash.sha384]: 'sha384',
  [openpgp.enums.hash.sha512]: 'sha512',
};

/** A signature that is verified while its data streams by. */
export interface SignatureVerifier {
  /** Hashes the next bytes, at once and without keeping them. */
  update(chunk: Uint8Array): void;
  /**
   * Judges the signature over all bytes given. To be called once.
   *
   * @returns the fingerprint of the primary key that signed, lower-case hex.
   */
  finish(): Promise<{ readonly fingerprint: string }>;
}

interface Candidate {
  readonly key: openpgp.Key;
  /** The primary key or the subkey that the signature names. */
  readonly signer: openpgp.Key | openpgp.Subkey;
}

/**
 * Starts to verify one detached signature. What can be refused without the data is refused here,
 * before a byte of it needs to be fetched.
 *
 * @param certificates The keys that are trusted for this data, read before: an envelope has several
 *   signatures and one set of keys.
 * @param time at which keys and signature are judged
 * @param codes The code of each fault.
 * @throws {Refusal} here for a malformed signature and for an unknown or weak key, in `finish` for
 *   the rest.
 */
export async function openVerifier(
  armoredSignature: string,
  { certificates, unreadable }: ReadCertificates,
  time: DeviceTime,
  codes: FaultCodes,
): Promise<SignatureVerifier> {
  const { packet, body, hashName } = await readSignaturePacket(armoredSignature, codes);
  const candidates = findSigners(packet, certificates);
  if (candidates.length === 0) {
    const issuer =
      packet.issuerFingerprint === null ? packet.issuerKeyID.toHex() : hex(packet.issuerFingerprint);
    // A file that is not a key may be the reason.
    const [unread] = unreadable.map(({ reason }) => `; a file of keys is not used: ${reason}`);
    throw new Refusal(codes.unknown, `signed by key ${issuer}, which is not trusted for this${unread ?? ''}`);
  }
  for (const { key, signer } of candidates) {
    const weakness = weaknessOf(key) ?? weaknessOf(signer);
    if (weakness !== undefined) throw unusable(key, weakness, codes);
  }

  const hash = createHash(hashName);
  return {
    update: (chunk) => {
      hash.update(chunk);
    },
    finish: async () => {
      const digest = finishDigest(hash, body);
      const { key, signer } = await whoSigned(packet, digest, candidates, codes);
      await judgeTimes(packet, key, signer, time, codes);
      return { fingerprint: key.getFingerprint() };
    },
  };
}

/**
 * Exactly one version 4 binary signature packet in exactly one armored block: the only form that is
 * accepted.
 */
export async function readSignaturePacket(
  armored: string,
  codes: FaultCodes,
): Promise<{ packet: openpgp.SignaturePacket; body: Uint8Array; hashName: string }> {
  const malformed = (problem: string, cause?: unknown): Refusal =>
    new Refusal(codes.malformed, `the signature ${problem}`, { cause });

  if (isUtf16(armored)) {
    throw malformed('is UTF-16 text, as PowerShell writes with ">"; sign with gpg --armor --output FILE');
  }
  if (armored.length > maxSignatureBytes) throw malformed(`is longer than ${maxSignatureBytes} characters`);
  if (
    !/^\s*-----BEGIN PGP SIGNATURE-----\r?\n[^]*\n-----END PGP SIGNATURE-----\s*$/.test(armored) ||
    armored.split('-----BEGIN').length !== 2 ||
    armored.split('-----END').length !== 2
  ) {
    throw malformed('is not one armored block "PGP SIGNATURE"; sign with --armor --detach-sign');
  }
  let packets: readonly openpgp.SignaturePacket[];
  try {
    const signature = await openpgp.readSignature({
      armoredSignature: armored,
      config: { ignoreUnsupportedPackets: false },
    });
    packets = signature.packets;
  } catch (cause) {
    throw malformed('cannot be read', cause);
  }
  const [packet] = packets;
  if (packet === undefined || packets.length !== 1) throw malformed('is not exactly one signature packet');
  if (packet.version !== 4) throw malformed(`is of version ${packet.version}; 4 is supported`);
  // A text signature (0x01) is over the text with other line ends: not over the bytes used here.
  // Signatures of other types cover keys and names.
  if (packet.signatureType !== openpgp.enums.signature.binary || packet.signatureData === null) {
    throw malformed('is not over binary data (type 0x00)');
  }
  const hashName = packet.hashAlgorithm === null ? undefined : hashes[packet.hashAlgorithm];
  if (hashName === undefined) throw malformed('uses another hash than SHA-256, SHA-384 or SHA-512');
  return { packet, body: packet.signatureData, hashName };
}

/**
 * Every trusted key that may have made the signature. Key IDs are short enough to collide, so there
 * may be several.
 */
function findSigners(
  packet: openpgp.SignaturePacket,
  certificates: readonly { readonly key: openpgp.Key }[],
): Candidate[] {
  const fingerprint = packet.issuerFingerprint === null ? undefined : hex(packet.issuerFingerprint);
  return certificates
    .flatMap(({ key }) => key.getKeys(packet.issuerKeyID).map((signer) => ({ key, signer })))
    .filter(({ signer }) => fingerprint === undefined || signer.getFingerprint() === fingerprint);
}

async function whoSigned(
  packet: openpgp.SignaturePacket,
  digest: Uint8Array,
  candidates: readonly Candidate[],
  codes: FaultCodes,
): Promise<Candidate> {
  // The library reads a precomputed digest from this property, as in its own streaming. A version
  // that ignored it would look for the data in the empty object below, and fail.
  const prehashed = Object.assign(packet, { hashed: digest });
  let cause: unknown;
  for (const candidate of candidates) {
    try {
      // Without a date: times are judged separately, to distinguish a wrong signature from an old
      // key.
      const noDate = null as unknown as Date;
      await prehashed.verify(candidate.signer.keyPacket, openpgp.enums.signature.binary, {}, noDate, true);
      return candidate;
    } catch (error) {
      refuseMissingPart(error);
      const reason = whyNotJudged(error);
      if (reason !== undefined) {
        throw new Refusal(codes.malformed, `the signature ${reason}`, { cause: error });
      }
      cause = error;
    }
  }
  throw new Refusal(codes.mismatch, 'the signature does not match the data', { cause });
}

async function judgeTimes(
  packet: openpgp.SignaturePacket,
  key: openpgp.Key,
  signer: Candidate['signer'],
  time: DeviceTime,
  codes: FaultCodes,
): Promise<void> {
  const created = packet.created ?? new Date(0);
  const at = judgedAt(key, created.getTime() / 1000, time);
  const reason = await whyUnusable(key, signer.getKeyID(), at);
  if (reason !== undefined) throw unusable(key, reason, codes);
  if (signer.getCreationTime() > created) throw unusable(key, 'it is younger than the signature', codes);
  if (created.getTime() > at * 1000) {
    throw new Refusal(codes.mismatch, `the signature is from the future (${created.toISOString()})`);
  }
  if (packet.getExpirationTime().valueOf() <= at * 1000) {
    throw new Refusal(codes.mismatch, 'the signature has expired');
  }
}

/**
 * The digest that a version 4 signature covers (RFC 4880 §5.2.4): the data that `hash` has seen,
 * the signature packet up to its hashed subpackets, and a trailer of version, 0xff and the length
 * of that part.
 */
export function finishDigest(hash: Hash, body: Uint8Array): Buffer {
  const trailer = Buffer.from([4, 0xff, 0, 0, 0, 0]);
  trailer.writeUInt32BE(body.length, 2);
  return hash.update(body).update(trailer).digest();
}

function unusable(key: openpgp.Key, reason: string, codes: FaultCodes): Refusal {
  return new Refusal(codes.unusable, `key ${key.getFingerprint()} cannot be used: ${reason}`);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
