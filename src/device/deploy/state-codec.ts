import { parseImageId, parseUuid } from '../../image/appc/index.ts';
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
  type Reader,
  readFields,
  tagged,
  text,
} from '../../core/cbor/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { maxStateBytes, parseTreeId, verityDigestForm } from '../store/index.ts';
import {
  alreadyVerified,
  decodeDesiredState,
  decodeRoot,
  type DesiredState,
  encodeDesiredState,
  encodeRoot,
  type RootDocument,
} from '../../wire/trust/index.ts';
import { type CompiledProbe, usualRules } from '../pod/index.ts';
import type { DeployedPod, Deployment, DeviceState } from './state.ts';

/** Text from a manifest may be as long as a manifest: every saved state must be readable. */
const maxManifestText = 1 << 20;

const imageId = parsed(text(135), (value) => parseImageId(value));
const treeId = parsed(text(73), parseTreeId);

const verityDigest: Reader<string> = parsed(text(135), (value) => {
  if (!verityDigestForm.test(value)) throw new CborError('not a digest of fs-verity');
  return value;
});

const port = integer(1, 65_535);
const probe: Reader<CompiledProbe> = map({
  ask: tagged('kind', {
    http: map({ kind: oneOf('http'), port, path: text(maxManifestText) }),
    tcp: map({ kind: oneOf('tcp'), port }),
    exec: map({ kind: oneOf('exec'), unit: text(255), directory: text(4096) }),
  }),
  rules: map({
    intervalSeconds: integer(1, 3600),
    timeoutSeconds: integer(1, 300),
    failures: integer(1, 100),
    successes: integer(1, 100),
    startPeriodSeconds: optional(integer(0, 3600)),
  }),
});

const savedService = map({
  app: text(512),
  unit: text(255),
  imageId,
  onceSeconds: optional(integer(1, 86_400)),
  probe: optional(probe),
  secrets: optional(list(text(64), { max: 32 })),
  delivery: optional(text(255)),
  // The probe as an older wherry saved it.
  probeHttp: optional(map({ port, path: text(maxManifestText) })),
});

const service: Reader<DeployedPod['services'][number]> = (value, path) => {
  const { probeHttp, ...saved } = savedService(value, path);
  if (probeHttp === undefined) return saved;
  return { ...saved, probe: { ask: { kind: 'http', ...probeHttp }, rules: usualRules } };
};

const deployedPod: Reader<DeployedPod> = map({
  name: text(512),
  // Names a directory.
  uuid: parsed(text(36), parseUuid),
  slice: text(255),
  services: list(service, { max: 1024 }),
  mounts: list(text(255), { max: 1024 }),
  timer: optional(text(255)),
  isolators: list(
    map({
      app: text(512),
      name: text(maxManifestText),
      outcome: oneOf('enforced', 'modified', 'ignored'),
      detail: text(maxManifestText),
    }),
    { max: 8192 },
  ),
  // Absent for pods in the host's network, and in states of an older wherry.
  network: optional(text(512)),
});

const deployment: Reader<Deployment> = map({
  version: integer(0),
  group: optional(text(512)),
  pods: list(deployedPod, { max: 32 }),
  imageIds: list(imageId, { max: 64 }),
  treeIds: optional(list(treeId, { max: 64 })),
});

const group = optional(text(512));
const failedEnd = map({
  version: integer(0),
  group,
  phase: oneOf('rolled-back', 'refused', 'superseded'),
  code: text(64),
  message: text(maxManifestText),
});

const decodeSaved = (payload: Uint8Array): DesiredState =>
  decodeDesiredState(alreadyVerified(payload, 'saved-state'));

const decodeSavedRoot = (payload: Uint8Array): RootDocument =>
  decodeRoot(alreadyVerified(payload, 'saved-state'));

const mark = {
  version: integer(0),
  payloadSha256: text(64),
  issued: integer(0),
  era: optional(integer(1)),
  withdrawn: optional(oneOf(true)),
};

const deviceState: Reader<DeviceState> = map({
  format: oneOf(1),
  trusted: map(mark),
  groups: optional(list(map({ name: text(512), ...mark }), { max: 64 })),
  follows: optional(text(512)),
  root: optional(
    map({
      document: parsed(bytes(1 << 17), decodeSavedRoot),
      era: optional(map({ root: integer(1), issued: integer(0) })),
    }),
  ),
  current: optional(deployment),
  previous: optional(deployment),
  pending: optional(
    map({
      desired: parsed(bytes(1 << 17), decodeSaved),
      attempts: integer(0, 1000),
      hadBroker: optional(oneOf(true)),
      bootId: optional(text(64)),
    }),
  ),
  last: optional(
    tagged('phase', {
      committed: map({ version: integer(0), group, phase: oneOf('committed') }),
      'rolled-back': failedEnd,
      refused: failedEnd,
      superseded: failedEnd,
    }),
  ),
  images: list(
    map({
      id: imageId,
      name: text(maxManifestText),
      sizeBytes: integer(0),
      sha256: text(64),
      manifest: bytes(1 << 20),
      impliesDirectories: optional(oneOf(true)),
      verity: optional(verityDigest),
      lastUse: optional(integer(0)),
    }),
    { max: 256 },
  ),
  trees: optional(
    list(
      map({
        id: treeId,
        name: text(maxManifestText),
        sizeBytes: integer(0),
        sha256: text(64),
        verity: optional(verityDigest),
        imageIds: list(imageId, { max: 64 }),
      }),
      { max: 256 },
    ),
  ),
});

/** Encodes the body of a state slot. */
export function encodeState(state: DeviceState): Uint8Array {
  const { pending, root, ...rest } = state;
  return encodeCbor({
    ...rest,
    ...(pending === undefined
      ? {}
      : { pending: { ...pending, desired: encodeDesiredState(pending.desired) } }),
    ...(root === undefined ? {} : { root: { ...root, document: encodeRoot(root.document) } }),
  });
}

/**
 * Reads a state slot's body.
 *
 * The checksum of the slot was right, so an unreadable body is not damaged: another version of
 * wherry wrote it. The older slot is not used instead, because its trusted version may be older
 * too.
 *
 * @throws Refusal `state-unreadable`
 */
export function decodeState(body: Uint8Array): DeviceState {
  try {
    return readFields(decodeCbor(body, { maxBytes: maxStateBytes, maxDepth: 16 }), deviceState, 'state');
  } catch (cause) {
    if (!(cause instanceof CborError)) throw cause;
    throw new Refusal(
      'state-unreadable',
      `the state of the device was written by another version of wherry (${cause.message}); install that version or a later one`,
      { cause },
    );
  }
}
