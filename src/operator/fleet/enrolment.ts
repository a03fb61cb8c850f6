import { Refusal } from '../../core/refusal/index.ts';
import { type EnrolmentBundle, type EnrolmentPath, isEnrolmentPath } from '../../wire/enrolment/index.ts';
import { signedCertificate } from './device-certificate.ts';
import type { FleetDirectory } from './fleet-directory.ts';
import { type DeviceCredentials, givenCredentials, givenPassword } from './given-credentials.ts';
import { provisionFiles } from './provision.ts';

/** The groups and labels of a device, and its credentials for the broker. */
export interface EnrolmentRequest {
  readonly groups?: readonly string[];
  /** NAME=VALUE */
  readonly labels?: readonly string[];
  /** PEM files that were made elsewhere. */
  readonly cert?: string;
  readonly keyFile?: string;
  /** PEM files of an authority that signs a certificate for a key that is made here. */
  readonly caCert?: string;
  readonly caKey?: string;
  readonly days?: number;
  /** A file that holds the password for the broker. */
  readonly password?: string;
}

/**
 * All files that make a device a member of the fleet: its configuration, the keys or root that it
 * trusts, and its credentials for the broker.
 *
 * @throws Refusal `usage` when its broker requires credentials that are not given, `input-invalid`
 *   for a certificate that does not fit, and as `provisionFiles`
 */
export async function enrolmentBundle(
  fleet: FleetDirectory,
  device: string,
  request: EnrolmentRequest,
  nowSeconds: number,
): Promise<EnrolmentBundle> {
  const labels = (request.labels ?? []).map((text) => {
    const [, name = '', value = ''] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
    if (name === '') throw new Refusal('usage', `--label takes NAME=VALUE, not ${JSON.stringify(text)}`);
    return [name, value] as const;
  });
  const tls = await tlsFiles(fleet, device, request, nowSeconds);
  const password = request.password === undefined ? undefined : await givenPassword(request.password);
  const { username } = fleet.config.broker;
  if (username !== undefined && password === undefined && tls === undefined)
    throw new Refusal(
      'usage',
      'the broker of fleet.toml requires a user: give --password FILE for the device',
    );
  if (fleet.config.broker.cert !== undefined && tls === undefined)
    throw new Refusal(
      'usage',
      'the broker of fleet.toml requires certificates: give --cert and --key-file, or --ca-cert and --ca-key',
    );
  const made = await provisionFiles(fleet, device, nowSeconds, {
    groups: request.groups ?? [],
    labels,
    showsCertificate: tls !== undefined,
    showsPassword: password !== undefined,
  });
  const files = new Map<EnrolmentPath, Uint8Array>();
  const add = (path: string, content: string | Uint8Array): void => {
    if (!isEnrolmentPath(path)) throw new Error(`${path} is not a file of an enrolment`);
    files.set(path, Buffer.from(content));
  };
  for (const [path, content] of made) add(path, content);
  if (tls !== undefined) {
    add('/etc/wherry/device.pem', tls.cert);
    add('/etc/wherry/device.key', tls.key);
  }
  if (password !== undefined) add('/etc/wherry/broker-password', password);
  return { fleet: fleet.config.fleet, device, files };
}

async function tlsFiles(
  fleet: FleetDirectory,
  device: string,
  request: EnrolmentRequest,
  nowSeconds: number,
): Promise<DeviceCredentials | undefined> {
  const { cert, keyFile: key, caCert, caKey, days = 825 } = request;
  const [isGiven, isSigned] = [
    cert !== undefined || key !== undefined,
    caCert !== undefined || caKey !== undefined,
  ];
  if (!isGiven && !isSigned) return undefined;
  if (isGiven && isSigned)
    throw new Refusal('usage', 'give --cert and --key-file, or --ca-cert and --ca-key');
  if (isSigned) {
    if (caCert === undefined || caKey === undefined)
      throw new Refusal('usage', '--ca-cert and --ca-key go together');
    return await signedCertificate(device, { caCert, caKey, days, nowSeconds });
  }
  if (cert === undefined || key === undefined)
    throw new Refusal('usage', '--cert and --key-file go together');
  return await givenCredentials(cert, key, nowSeconds);
}
