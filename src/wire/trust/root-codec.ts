import { parseAcIdentifier, parseAcName } from '../../image/appc/index.ts';
import {
  CborError,
  decodeCbor,
  encodeCbor,
  integer,
  list,
  map,
  oneOf,
  parsed,
  readFields,
  record,
  shownKey,
  text,
  type Reader,
} from '../../core/cbor/index.ts';
import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import { maxEnvelopeBytes } from './envelope.ts';
import type { Role, RootDocument } from './root.ts';
import type { VerifiedPayload } from './verified-payload.ts';

/** The last second of the year 9999. Calendars cannot print a later one. */
const maxSeconds = 253_402_300_799;

const limits = { keys: 32, roles: 34, nameBytes: 512, certificateBytes: 32_768 } as const;

const fingerprint = parsed(text(40), (value) => {
  if (!/^[0-9a-f]{40}$/.test(value)) throw new CborError('not a fingerprint of 40 lower-case hex digits');
  return value;
});
const role: Reader<Role> = map({
  keys: list(fingerprint, { min: 1, max: limits.keys }),
  threshold: integer(1, limits.keys),
});

const rootDocument: Reader<RootDocument> = map({
  format: oneOf(1),
  fleet: parsed(text(limits.nameBytes), parseAcName),
  version: integer(1),
  issued: integer(0, maxSeconds),
  expires: integer(0, maxSeconds),
  keys: record(text(limits.certificateBytes), limits.keys),
  roles: record(role, limits.roles),
});

/**
 * The payload to sign. Refuses what a device would refuse for its form.
 *
 * @throws {Refusal} `root-malformed`.
 */
export function encodeRoot(root: RootDocument): VerifiedPayload {
  try {
    const payload = encodeCbor({ ...root, keys: { ...root.keys }, roles: { ...root.roles } });
    read(payload);
    return payload as VerifiedPayload; // made here
  } catch (error) {
    throw malformed(error);
  }
}

/**
 * Reads the payload of an envelope whose signatures were verified. `examineRoot`, which has
 * OpenPGP, checks that each certificate has the fingerprint that it is listed under.
 *
 * @throws {Refusal} `root-malformed`, with the path of the invalid field.
 */
export function decodeRoot(payload: VerifiedPayload): RootDocument {
  return read(payload);
}

/**
 * The version that an unverified payload claims; undefined when it is not a root. No decision about
 * trust may use it.
 */
export function claimedRootVersion(payload: Uint8Array): number | undefined {
  try {
    return read(payload).version;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return undefined;
  }
}

/** The fleet that a payload claims to be for; see `claimedRootVersion`. */
export function claimedFleet(payload: Uint8Array): string | undefined {
  try {
    return read(payload).fleet;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return undefined;
  }
}

function read(payload: Uint8Array): RootDocument {
  try {
    const root = readFields(
      decodeCbor(payload, { maxBytes: maxEnvelopeBytes, maxDepth: 4 }),
      rootDocument,
      'root',
    );
    if (root.issued >= root.expires) throw new CborError('root: it expires before it is issued');
    for (const name of Object.keys(root.keys)) fingerprint(name, 'root/keys');
    for (const name of ['root', 'deploy']) {
      if (root.roles[name] === undefined) throw new CborError(`root/roles: the role ${name} is missing`);
    }
    for (const [name, one] of Object.entries(root.roles)) checkRole(root, name, one);
    return root;
  } catch (error) {
    throw malformed(error);
  }
}

function checkRole(root: RootDocument, name: string, { keys, threshold }: Role): void {
  const path = `root/roles/${shownKey(name)}`;
  const [, prefix] = /^images\/(.*)$/s.exec(name) ?? [];
  if (prefix !== undefined) parsed(text(limits.nameBytes), parseAcIdentifier)(prefix, path);
  else if (name !== 'root' && name !== 'deploy' && name !== 'images')
    throw new CborError(`${path}: not root, deploy, images or images/<prefix>`);
  // A key that is listed twice would count twice (TUF 1.0.34 §4.2: KEYIDs of a role are unique).
  const repeated = keys.find((key, index) => keys.indexOf(key) !== index);
  if (repeated !== undefined) throw new CborError(`${path}: the key ${repeated} is listed twice`);
  const absent = keys.find((key) => !Object.hasOwn(root.keys, key));
  if (absent !== undefined) throw new CborError(`${path}: the certificate of key ${absent} is missing`);
  if (threshold > keys.length)
    throw new CborError(`${path}: the threshold is ${threshold}, and there are ${keys.length} keys`);
}

function malformed(error: unknown): unknown {
  return error instanceof CborError ? new Refusal('root-malformed', error.message, { cause: error }) : error;
}
