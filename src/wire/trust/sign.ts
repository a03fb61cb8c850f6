/**
 * The operator's side of trust: makes keys and signatures that devices, and GnuPG, accept. It loads
 * the `openpgp` library and handles private keys; nothing that runs on a device imports it.
 */
import { createHash, type Hash } from 'node:crypto';
import * as openpgp from 'openpgp';
import { Refusal } from '../../core/refusal/index.ts';
import { readCertificates } from './certificates.ts';
import { maxSignatures, signatureBlocks } from './image-signature.ts';
import { signersOf, whyUnusable } from './key-judgement.ts';
import { refuseMissingPart } from './library-outcomes.ts';
import { finishDigest, hashes } from './signature.ts';

/**
 * GnuPG requires a hash as wide as the curve. Others use SHA-256: small ARM cores compute it faster
 * than SHA-512, and many have instructions for it.
 */
const hashOfCurve: Readonly<Record<string, openpgp.enums.hash>> = {
  nistP384: openpgp.enums.hash.sha384,
  nistP521: openpgp.enums.hash.sha512,
};

export { generateDeviceKey } from './device-key.ts';
export { deviceKeyFingerprint, encryptMessage } from './encrypt.ts';
export { fingerprintOf, formatFingerprint } from './fingerprint.ts';

export interface GeneratedKey {
  /**
   * Armored and not protected by a passphrase: must be stored in a file that only its owner can
   * read.
   */
  readonly privateKey: string;
  readonly publicKey: string;
  /** Lower-case hex. */
  readonly fingerprint: string;
}

/**
 * Makes an Ed25519 key of OpenPGP version 4 in the form that GnuPG 2.2 and later read. It does not
 * expire: devices in the field must not fall silent on a date that nobody remembers.
 *
 * @param options.name The user ID of the key, for example the fleet and the role.
 * @param options.createdSeconds Seconds since 1970; now when absent.
 */
export async function generateKey(options: { name: string; createdSeconds?: number }): Promise<GeneratedKey> {
  const { privateKey, publicKey } = await openpgp.generateKey({
    type: 'ecc',
    curve: 'ed25519Legacy',
    userIDs: [{ name: options.name }],
    subkeys: [],
    format: 'object',
    ...(options.createdSeconds === undefined ? {} : { date: new Date(options.createdSeconds * 1000) }),
  });
  return {
    privateKey: privateKey.armor(),
    publicKey: publicKey.armor(),
    fingerprint: publicKey.getFingerprint(),
  };
}

/**
 * The public half of an armored private key, for devices.
 *
 * @throws {Refusal} `input-invalid` when it is not a private key.
 */
export async function exportPublic(privateKeyArmored: string): Promise<string> {
  return (await readPrivateKey(privateKeyArmored)).toPublic().armor();
}

/**
 * Signs bytes or a stream of bytes, which is not kept in memory. The key is judged as on devices,
 * so nothing is signed that they would refuse.
 *
 * @param atSeconds The creation time of the signature, seconds since 1970.
 * @param copies Armored copies of the public key: their revocations and expiry times count.
 * @returns an armored detached binary signature, what `gpg --armor --detach-sign` writes.
 * @throws {Refusal} `input-invalid` when the key is not one, is locked by a passphrase or is one
 *   that no device takes.
 */
export async function signDetached(
  data: Uint8Array | AsyncIterable<Uint8Array>,
  privateKeyArmored: string,
  atSeconds: number,
  copies: readonly string[] = [],
): Promise<string> {
  const privateKey = await readPrivateKey(privateKeyArmored);
  const date = new Date(atSeconds * 1000);
  const signer = await chooseSigner(privateKey, atSeconds, copies);
  const hashAlgorithm = hashOfCurve[signer.getAlgorithmInfo().curve ?? ''] ?? openpgp.enums.hash.sha256;
  const hash = createHash(hashes[hashAlgorithm] ?? '');
  if (data instanceof Uint8Array) hash.update(data);
  else for await (const chunk of data) hash.update(chunk);

  const packet = new openpgp.SignaturePacket();
  packet.signatureType = openpgp.enums.signature.binary;
  packet.publicKeyAlgorithm = signer.keyPacket.algorithm;
  packet.hashAlgorithm = hashAlgorithm;
  await signDigest(packet, signer.keyPacket as openpgp.SecretKeyPacket, hash, date);
  const packets = new openpgp.PacketList<openpgp.SignaturePacket>();
  packets.push(packet);
  return new openpgp.Signature(packets).armor();
}

/**
 * Adds a signature to those of an `.asc` file. One by the same key, or by another of its subkeys,
 * is replaced: a key counts once, and a file has room for eight.
 *
 * @param asc the text of the file; empty when there is none
 * @param added an armored signature that `privateKeyArmored` made
 * @throws {Refusal} `input-invalid` when the file holds something else, or eight other keys signed.
 */
export async function addSignature(asc: string, added: string, privateKeyArmored: string): Promise<string> {
  const own = (await readPrivateKey(privateKeyArmored)).getKeyIDs();
  const kept: string[] = [];
  for (const block of signatureBlocks(asc)) {
    const signature = await openpgp.readSignature({ armoredSignature: block }).catch((cause: unknown) => {
      refuseMissingPart(cause);
      throw new Refusal('input-invalid', 'it is not a file of armored signatures; sign without --add', {
        cause,
      });
    });
    const isOwn = signature.getSigningKeyIDs().some((id) => own.some((mine) => mine.equals(id)));
    if (!isOwn) kept.push(block);
  }
  if (kept.length >= maxSignatures) {
    throw new Refusal(
      'input-invalid',
      `it has signatures of ${kept.length} other keys; devices read ${maxSignatures}`,
    );
  }
  return [...kept, added].map((block) => `${block.trim()}\n`).join('');
}

/** The newest part of the key whose signatures devices accept, and whose secret is in the file. */
async function chooseSigner(
  privateKey: openpgp.PrivateKey,
  atSeconds: number,
  copies: readonly string[],
): Promise<openpgp.PrivateKey | openpgp.Subkey> {
  const refuse = (reason: string): Refusal =>
    new Refusal('input-invalid', `the key ${privateKey.getFingerprint()} cannot sign now: ${reason}`);
  const { certificates } = await readCertificates([privateKey.toPublic().armor()], copies);
  const judged = certificates[0]?.key ?? privateKey.toPublic();
  const reason = await whyUnusable(judged, undefined, atSeconds);
  if (reason !== undefined) throw refuse(reason);
  for (const signer of signersOf(privateKey)) {
    const isHeld = !(signer.keyPacket as openpgp.SecretKeyPacket).isDummy() && signer.keyPacket.isDecrypted();
    if (isHeld && (await whyUnusable(judged, signer.getKeyID(), atSeconds)) === undefined) return signer;
  }
  throw refuse('the file does not have the secret of the part that may sign');
}

/**
 * Lets the library sign a digest that was computed here: its own streaming keeps the whole stream
 * in memory. `toHash` and `hash` are its internal steps; a version that took others would look for
 * data in the empty object, and fail.
 */
async function signDigest(
  packet: openpgp.SignaturePacket,
  key: openpgp.SecretKeyPacket,
  hash: Hash,
  date: Date,
): Promise<void> {
  const prehashed = Object.assign(packet, {
    toHash: () => undefined,
    hash: () => Promise.resolve(finishDigest(hash, packet.signatureData ?? new Uint8Array())),
  });
  // The library's declaration leaves out its last parameter.
  const sign = prehashed.sign.bind(prehashed) as (...values: readonly unknown[]) => Promise<void>;
  await sign(key, {}, date, true, openpgp.config);
}

async function readPrivateKey(armoredKey: string): Promise<openpgp.PrivateKey> {
  const notOne = (cause?: unknown) =>
    new Refusal('input-invalid', 'it is not an armored OpenPGP private key', { cause });
  const keys = await openpgp.readKeys({ armoredKeys: armoredKey }).catch((cause: unknown) => {
    refuseMissingPart(cause);
    throw notOne(cause);
  });
  const [key, ...others] = keys;
  if (key?.isPrivate() !== true) throw notOne();
  // The library reads the first block only.
  if (others.length > 0 || armoredKey.split('-----BEGIN PGP PRIVATE KEY BLOCK-----').length > 2)
    throw new Refusal('input-invalid', 'it holds several private keys: export the one that is to sign alone');
  if (!key.isDecrypted()) {
    const hint = 'sign with gpg --armor --detach-sign, or export it without a passphrase';
    throw new Refusal('input-invalid', `the key ${key.getFingerprint()} is locked by a passphrase; ${hint}`);
  }
  return key;
}
