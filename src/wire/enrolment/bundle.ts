import {
  bytes,
  CborError,
  decodeCbor,
  encodeCbor,
  list,
  map,
  oneOf,
  parsed,
  readFields,
  type Reader,
  text,
} from '../../core/cbor/index.ts';
import { Refusal } from '../../core/refusal/index.ts';

/**
 * Every file that an enrolment may write, with its permissions, in the order in which they are put
 * in place. The configuration is last: wherryd does not start without it, so a device with this
 * file is enrolled completely.
 */
export const enrolmentFiles = {
  '/etc/wherry/trust/root.cbor': 0o644,
  '/etc/wherry/trust/deploy/fleet.asc': 0o644,
  '/etc/wherry/trust/images/root.d/fleet.asc': 0o644,
  '/etc/wherry/broker-ca.pem': 0o644,
  '/etc/wherry/device.pem': 0o644,
  '/etc/wherry/device.key': 0o600,
  '/etc/wherry/broker-password': 0o600,
  '/etc/systemd/system/wherry-key.service': 0o644,
  '/etc/systemd/system/wherryd.service.d/wherry-key.conf': 0o644,
  '/etc/wherry/wherry.toml': 0o644,
} as const;

export type EnrolmentPath = keyof typeof enrolmentFiles;

export interface EnrolmentBundle {
  readonly fleet: string;
  readonly device: string;
  readonly files: ReadonlyMap<EnrolmentPath, Uint8Array>;
}

const maxFileBytes = 1 << 18;
export const maxBundleBytes = 1 << 20;

export const isEnrolmentPath = (path: string): path is EnrolmentPath => Object.hasOwn(enrolmentFiles, path);

const enrolmentPath: Reader<EnrolmentPath> = parsed(text(128), (path) => {
  // Otherwise a bundle could place any file on the device. Units are not part of a bundle.
  if (!isEnrolmentPath(path) || !path.startsWith('/etc/wherry/'))
    throw new CborError('not a file of an enrolment');
  return path;
});

const bundle = map({
  format: oneOf(1),
  fleet: text(64),
  device: text(64),
  files: list(map({ path: enrolmentPath, content: bytes(maxFileBytes) }), { min: 1, max: 16 }),
});

/** The bundle as bytes. It may contain the private key of the device for its broker. */
export function encodeBundle({ fleet, device, files }: EnrolmentBundle): Uint8Array {
  return encodeCbor({
    format: 1,
    fleet,
    device,
    files: [...files].map(([path, content]) => ({ path, content })),
  });
}

/** @throws Refusal `input-invalid` */
export function decodeBundle(message: Uint8Array): EnrolmentBundle {
  try {
    const value = decodeCbor(message, { maxBytes: maxBundleBytes, maxDepth: 6 });
    const { fleet, device, files } = readFields(value, bundle, 'bundle');
    const byPath = new Map(files.map(({ path, content }) => [path, content]));
    if (byPath.size !== files.length) throw new CborError('bundle/files: a path is listed twice');
    if (!byPath.has('/etc/wherry/wherry.toml')) throw new CborError('bundle/files: no wherry.toml');
    return { fleet, device, files: byPath };
  } catch (cause) {
    if (!(cause instanceof CborError)) throw cause;
    throw new Refusal('input-invalid', `this is not an enrolment bundle: ${cause.message}`, { cause });
  }
}
