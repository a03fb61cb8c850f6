import * as openpgp from 'openpgp';
import { messageOf, refuseMissingPart } from './library-outcomes.ts';

/** A certificate: one primary key with all packets of all its copies. */
export interface Certificate {
  readonly key: openpgp.PublicKey;
  /** Index of the first trusted text that has it. */
  readonly armoredIndex: number;
}

/** A trusted text that contains something that is not a key. */
export interface UnreadableText {
  readonly armoredIndex: number;
  readonly reason: string;
}

export interface ReadCertificates {
  readonly certificates: readonly Certificate[];
  readonly unreadable: readonly UnreadableText[];
  /**
   * Primary keys that a revocation certificate without its key names, lower-case hex; it is not
   * verified yet.
   */
  readonly named: readonly string[];
}

/** The longest text of keys, in characters: a key with its certifications has a few thousand. */
const maxKeyTextLength = 256 * 1024;

/**
 * Reads armored public keys, and merges the copies of each certificate: all user IDs, subkeys,
 * self-signatures and revocations of all copies. So a file that is older than another can undo
 * neither a revocation nor an extended expiry.
 *
 * The library's own `update` is not used. It drops a revocation where the other copy has one
 * already, forged or not, and it replaces the signature that binds a subkey by a newer one without
 * verifying it. Here nothing is dropped and nothing verified: the merged packets are judged like
 * those of one file, and each signature is verified when it is used.
 *
 * @param trusted Texts whose keys are returned.
 * @param copies Texts whose keys are not trusted; their packets count for keys that are in
 *   `trusted`.
 */
export async function readCertificates(
  trusted: readonly string[],
  copies: readonly string[] = [],
): Promise<ReadCertificates> {
  const unreadable: UnreadableText[] = [];
  const groups = new Map<string, { armoredIndex: number | undefined; copies: openpgp.PublicKey[] }>();
  const revocations: openpgp.SignaturePacket[] = [];
  for (const [index, text] of [...trusted, ...copies].entries()) {
    const armoredIndex = index < trusted.length ? index : undefined;
    const parsed = await parseKeys(text);
    if (parsed.reason !== undefined && armoredIndex !== undefined) {
      unreadable.push({ armoredIndex, reason: parsed.reason });
    }
    revocations.push(...parsed.revocations);
    for (const key of parsed.keys) {
      // The whole key, not its fingerprint: that is a SHA-1, which two keys may be made to share.
      const identity = bytesOf(key.keyPacket);
      const group = groups.get(identity) ?? { armoredIndex: undefined, copies: [] };
      groups.set(identity, group);
      group.armoredIndex ??= armoredIndex;
      group.copies.push(key);
    }
  }
  const certificates: Certificate[] = [];
  for (const { armoredIndex, copies: same } of groups.values()) {
    const [first] = same;
    if (armoredIndex === undefined || first === undefined) continue;
    const own = revocations.filter(({ issuerKeyID }) => issuerKeyID.equals(first.getKeyID()));
    certificates.push({ armoredIndex, key: merge(same, own) });
  }
  return { certificates, unreadable, named: revocations.flatMap(issuerOf) };
}

/** A user ID or a subkey, or the primary key itself, with its signatures of all copies. */
interface Component {
  readonly packet: openpgp.AnyPacket;
  readonly signatures: Map<string, openpgp.AnyPacket>;
}

function merge(
  copies: readonly openpgp.PublicKey[],
  revocations: readonly openpgp.SignaturePacket[],
): openpgp.PublicKey {
  const [only] = copies;
  if (only !== undefined && copies.length === 1 && revocations.length === 0) return only;
  const primary = new Map<string, Component>();
  const users = new Map<string, Component>();
  const subkeys = new Map<string, Component>();
  for (const copy of copies) {
    let current: Component | undefined;
    // The library lists the primary key and its signatures first, then each user ID and each subkey
    // with theirs.
    for (const packet of copy.toPacketList()) {
      if (packet instanceof openpgp.SignaturePacket) {
        current?.signatures.set(bytesOf(packet), packet);
        continue;
      }
      const isUser = packet instanceof openpgp.UserIDPacket || packet instanceof openpgp.UserAttributePacket;
      const isSubkey = packet instanceof openpgp.PublicSubkeyPacket;
      const kind = isUser ? users : isSubkey ? subkeys : primary;
      const identity = `${packet.constructor.name} ${bytesOf(packet)}`;
      current = kind.get(identity) ?? { packet, signatures: new Map() };
      kind.set(identity, current);
    }
  }
  for (const revocation of revocations) {
    for (const { signatures } of primary.values()) signatures.set(bytesOf(revocation), revocation);
  }
  const packets = new openpgp.PacketList<openpgp.AnyPacket>();
  for (const { packet, signatures } of [...primary.values(), ...users.values(), ...subkeys.values()]) {
    packets.push(packet, ...signatures.values());
  }
  return new openpgp.PublicKey(packets);
}

function bytesOf(packet: { readonly write: () => Uint8Array }): string {
  return Buffer.from(packet.write()).toString('latin1');
}

function issuerOf({ issuerFingerprint }: openpgp.SignaturePacket): string[] {
  return issuerFingerprint === null ? [] : [Buffer.from(issuerFingerprint).toString('hex')];
}

interface ParsedKeys {
  readonly keys: readonly openpgp.PublicKey[];
  /** Revocation certificates without their key. */
  readonly revocations: readonly openpgp.SignaturePacket[];
  readonly reason?: string;
}

/**
 * The keys in `text`. If a part is not a key, `reason` describes it and the keys before it still
 * count.
 */
async function parseKeys(text: string): Promise<ParsedKeys> {
  const keys: openpgp.PublicKey[] = [];
  const revocations: openpgp.SignaturePacket[] = [];
  const ends = (reason: string): ParsedKeys => ({ keys, revocations, reason });
  if (text.length > maxKeyTextLength) return ends(`it is longer than ${maxKeyTextLength} characters`);
  // The library reads the first armored block and forgets the rest; a file of several keys is
  // several blocks. Text between them is for people. GnuPG's prepared revocation certificates have
  // a colon before their block; one among the keys of a device counts.
  const parts = text.split(/(?=-----BEGIN PGP )/).filter((part) => part.trim() !== '');
  const blocks = parts.filter((part) => part.startsWith('-----BEGIN PGP '));
  if (blocks.length === 0 && isUtf16(text)) {
    return ends('it is UTF-16 text, as PowerShell writes with ">"; export it with gpg --armor --output FILE');
  }
  if (blocks.length === 0 && parts.length > 0) {
    return ends(
      'it cannot be read as an OpenPGP key: there is no armored block; export it with gpg --armor --export',
    );
  }
  for (const block of blocks) {
    try {
      for (const key of await openpgp.readKeys({ armoredKeys: block })) {
        if (key.isPrivate()) return ends('it is a private key; devices need the public one');
        keys.push(key.toPublic());
      }
    } catch (error) {
      refuseMissingPart(error);
      const bare = await bareRevocations(block);
      if (bare.length === 0) return ends(`it cannot be read as an OpenPGP key (${messageOf(error)})`);
      revocations.push(...bare);
    }
  }
  if (keys.length > 0 || revocations.length > 0) return { keys, revocations };
  return ends('it holds no OpenPGP key');
}

/** Detects UTF-16 in text that was decoded with one byte per character. */
export function isUtf16(text: string): boolean {
  return text.includes('-\0-\0-\0-');
}

/**
 * The revocations of a block that is a revocation certificate (RFC 9580 §10.1.3); none for any
 * other block. sq 0.27 of Sequoia writes one as a `PGP SIGNATURE` block: the kind does not matter.
 */
async function bareRevocations(block: string): Promise<openpgp.SignaturePacket[]> {
  try {
    // For a text the data is never a stream, although the library's declaration allows it.
    const { data } = (await openpgp.unarmor(block)) as unknown as { data: Uint8Array };
    const { packets } = await openpgp.readSignature({ binarySignature: data });
    return packets.filter(({ signatureType }) => signatureType === openpgp.enums.signature.keyRevocation);
  } catch {
    // The caller reports why the block is not a key.
    return [];
  }
}
