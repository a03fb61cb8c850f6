import { parseAcIdentifier, parseAcName, parseImageId } from '../../image/appc/index.ts';
import {
  bytes,
  CborError,
  decodeCbor,
  encodeCbor,
  integer,
  list,
  map,
  oneOf,
  optional,
  parsed,
  readFields,
  text,
  type Reader,
} from '../../core/cbor/index.ts';
import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import { maxSecrets } from './confidential.ts';
import { type Activation, type DesiredState, shareOf, type Target } from './desired-state.ts';
import { maxEnvelopeBytes } from './envelope.ts';
import { ringPlaces, type Share } from './share.ts';
import type { VerifiedPayload } from './verified-payload.ts';

/** The last second of the year 9999: calendars cannot print a later one. */
const maxSeconds = 253_402_300_799;

const limits = {
  pods: 32,
  images: 64,
  labels: 32,
  labelBytes: 1024,
  nameBytes: 512,
  manifestBytes: 65_536,
  urls: 8,
  urlBytes: 2048,
} as const;

const acName = parsed(text(limits.nameBytes), parseAcName);
const acIdentifier = parsed(text(limits.nameBytes), parseAcIdentifier);
const imageId = parsed(text(limits.nameBytes), parseImageId);
const webAddress = parsed(text(limits.urlBytes), parseWebAddress);
const digest = parsed(text(64), (value) => {
  if (!/^[0-9a-f]{64}$/.test(value)) throw new CborError('not a SHA-256 in lower-case hex');
  return value;
});

/** Checks only the form; the schedule of the device evaluates the names. */
const cronExpression = parsed(text(256), (value) => {
  if (!/^[0-9A-Za-z*,/#-]+( [0-9A-Za-z*,/#-]+){4}$/.test(value))
    throw new CborError('not a cron expression of five fields');
  return value;
});
const timeZone = parsed(text(64), (value) => {
  if (!/^[A-Za-z0-9_+-]+(\/[A-Za-z0-9_+-]+){0,2}$/.test(value))
    throw new CborError('not the name of a time zone');
  return value;
});

const activation: Reader<Activation> = (value, path) => {
  const read = map({
    when: oneOf('now', 'window', 'next-boot', 'approval'),
    windows: optional(
      list(map({ cron: cronExpression, durationSeconds: integer(60, 86_400), timeZone }), { min: 1, max: 4 }),
    ),
    force: optional(oneOf(true)),
  })(value, path);
  if ((read.when === 'window') !== (read.windows !== undefined))
    throw new CborError(`${path}: windows belong to "window", and it needs them`);
  return read;
};

const share: Reader<Share> = (value, path) => {
  const read = map({
    from: integer(0, ringPlaces - 1),
    to: integer(1, ringPlaces),
    salt: optional(parsed(text(64), parseAcName)),
  })(value, path);
  if (read.from >= read.to) throw new CborError(`${path}: it ends before it begins`);
  // One form for one meaning.
  if (read.to - read.from === ringPlaces)
    throw new CborError(`${path}: the whole ring is a command without a share`);
  return read;
};

const target: Reader<Target> = (value, path) => {
  const { device, group, ...part } = map({
    device: optional(acName),
    group: optional(acName),
    share: optional(share),
  })(value, path);
  if (device !== undefined && group === undefined && part.share === undefined) return { device };
  if (device === undefined && group !== undefined) return { group, ...part };
  throw new CborError(`${path}: names either a device or a group, and a share only of a group`);
};

const desiredState: Reader<DesiredState> = map({
  format: oneOf(1),
  fleet: acName,
  target,
  version: integer(1),
  issued: integer(0, maxSeconds),
  expires: integer(0, maxSeconds),
  pods: list(map({ name: acName, manifest: bytes(limits.manifestBytes) }), { max: limits.pods }),
  images: list(
    map({
      id: imageId,
      name: acIdentifier,
      labels: list(map({ name: acIdentifier, value: text(limits.labelBytes) }), { max: limits.labels }),
      sizeBytes: integer(1),
      tarSizeBytes: integer(1),
      renderedBytes: optional(integer(1)),
      urls: list(webAddress, { min: 1, max: limits.urls }),
    }),
    { max: limits.images },
  ),
  policy: map({
    probationSeconds: integer(0, 86_400),
    reconnectWindowSeconds: integer(1, 3600),
    limits: oneOf('require', 'best-effort'),
    activation: optional(activation),
    brokerLoss: optional(oneOf('roll-back', 'ignore')),
  }),
  secrets: optional(list(map({ name: acName, digest }), { max: maxSecrets })),
  withdrawn: optional(oneOf(true)),
});

/**
 * The payload to sign. Refuses what a device would refuse, so that it is not signed.
 *
 * @throws {Refusal} `desired-malformed`.
 */
export function encodeDesiredState(desired: DesiredState): VerifiedPayload {
  try {
    const payload = encodeCbor(desired) as VerifiedPayload; // made here
    decodeDesiredState(payload);
    return payload;
  } catch (error) {
    throw malformed(error);
  }
}

/**
 * The version that an unverified payload claims; undefined when it is not a desired state. It only
 * names what a broker keeps. No decision about obeying may use it.
 */
export function claimedVersion(payload: Uint8Array): number | undefined {
  try {
    return read(payload).version;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return undefined;
  }
}

/**
 * Reads the payload of an envelope, which was verified before. It decodes the bytes and does not
 * decide whether they may be obeyed.
 *
 * @throws {Refusal} `desired-malformed`, with the path of the invalid field.
 */
export function decodeDesiredState(payload: VerifiedPayload): DesiredState {
  return read(payload);
}

function read(payload: Uint8Array): DesiredState {
  try {
    const value = decodeCbor(payload, { maxBytes: maxEnvelopeBytes, maxDepth: 6 });
    const desired = readFields(value, desiredState, 'desired state');
    if (desired.issued >= desired.expires)
      throw new CborError('desired state: it expires before it is issued');
    const parts = [...desired.pods, ...desired.images, ...(desired.secrets ?? [])];
    if (desired.withdrawn === true && parts.length > 0)
      throw new CborError('desired state: what is withdrawn has no pods, images or secrets');
    if (desired.withdrawn === true && shareOf(desired.target) !== undefined)
      throw new CborError('desired state: a target is withdrawn from all of a group, not from a share');
    refuseRepeated('pods', 'name', desired.pods.map((pod) => pod.name)); // prettier-ignore
    refuseRepeated('images', 'id', desired.images.map((image) => image.id)); // prettier-ignore
    refuseRepeated('secrets', 'name', desired.secrets?.map((secret) => secret.name) ?? []); // prettier-ignore
    for (const [index, { labels }] of desired.images.entries()) {
      refuseRepeated(`images/${index}/labels`, 'name', labels.map((label) => label.name)); // prettier-ignore
    }
    return desired;
  } catch (error) {
    throw malformed(error);
  }
}

function refuseRepeated(path: string, key: string, values: readonly string[]): void {
  const repeated = values.find((value, index) => values.indexOf(value) !== index);
  if (repeated !== undefined) {
    throw new CborError(`desired state/${path}: the ${key} ${repeated} is listed twice`);
  }
}

/**
 * An http or https address, kept as written. Credentials would end up in reports and journals, so
 * none are allowed.
 */
function parseWebAddress(address: string): string {
  // URL drops tabs and line breaks silently: only visible ASCII may reach it.
  if (!/^[\x21-\x7e]+$/.test(address)) throw new CborError('not printable ASCII');
  let url: URL;
  try {
    url = new URL(address);
  } catch (cause) {
    throw new CborError('not an address', { cause });
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new CborError('neither http nor https');
  if (url.username !== '' || url.password !== '') throw new CborError('carries credentials');
  if (address.includes('#')) throw new CborError('carries a fragment');
  return address;
}

function malformed(error: unknown): unknown {
  if (!(error instanceof CborError)) return error;
  return new Refusal('desired-malformed', error.message, { cause: error });
}
