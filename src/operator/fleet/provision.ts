import { newestRoot } from './root-chain.ts';
import { writeDraft } from './root-drafts.ts';
import type { FleetDirectory } from './fleet-directory.ts';
import { deviceTopics } from '../../wire/report/index.ts';

/** The groups and labels of a device, and which credentials it uses. */
export interface Membership {
  readonly groups: readonly string[];
  readonly labels: readonly (readonly [name: string, value: string])[];
  /** Whether it has a client certificate for its broker. */
  readonly showsCertificate: boolean;
  readonly showsPassword: boolean;
}

/**
 * The files that make a device a member of the fleet, by their absolute path on the device: its
 * configuration and the public keys that it will trust, or the newest root of trust where the fleet
 * has one. Certificates and passwords for the broker differ for each device; the operator places
 * them.
 * @param membership absent: no groups and labels, and the same kinds of credentials as the
 *   operator's
 * @throws Refusal `not-found` when the fleet has no keys yet, `input-invalid` when the name does
 *   not fit
 */
export async function provisionFiles(
  fleet: FleetDirectory,
  device: string,
  nowSeconds: number,
  membership?: Membership,
): Promise<ReadonlyMap<string, string | Uint8Array>> {
  deviceTopics(fleet.config.fleet, device);
  const { url, version, ca, cert, username } = fleet.config.broker;
  const {
    groups,
    labels,
    showsCertificate = cert !== undefined,
    showsPassword = username !== undefined,
  } = membership ?? { groups: [], labels: [] };
  const lines = [
    `fleet = ${JSON.stringify(fleet.config.fleet)}`,
    `device = ${JSON.stringify(device)}`,
    ...(groups.length === 0 ? [] : [`groups = ${JSON.stringify(groups)}`]),
    ...(labels.length === 0 ? [] : [`labels = { ${labels.map(asToml).join(', ')} }`]),
    '',
    '[broker]',
    `url = ${JSON.stringify(url)}`,
    ...(version === 5 ? ['version = 5'] : []),
    ...(ca === undefined ? [] : ['ca = "/etc/wherry/broker-ca.pem"']),
    ...(!showsCertificate ? [] : ['cert = "/etc/wherry/device.pem"', 'key = "/etc/wherry/device.key"']),
    ...(!showsPassword
      ? []
      : [`username = ${JSON.stringify(device)}`, 'password_file = "/etc/wherry/broker-password"']),
    '',
  ];
  const root = await newestRoot(fleet, nowSeconds);
  const brokerCa = (await fleet.brokerAddress()).ca;
  return new Map<string, string | Uint8Array>([
    ['/etc/wherry/wherry.toml', lines.join('\n')],
    // A device with a root ignores the keys of the directories.
    ...(root === undefined
      ? ([
          ['/etc/wherry/trust/deploy/fleet.asc', await fleet.key('deploy', 'public')],
          ['/etc/wherry/trust/images/root.d/fleet.asc', await fleet.key('images', 'public')],
        ] as const)
      : ([['/etc/wherry/trust/root.cbor', writeDraft(root)]] as const)),
    ...(brokerCa === undefined ? [] : ([['/etc/wherry/broker-ca.pem', brokerCa]] as const)),
  ]);
}

const asToml = ([name, value]: readonly [string, string]): string =>
  `${JSON.stringify(name)} = ${JSON.stringify(value)}`;
