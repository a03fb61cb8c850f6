import { newestRoot } from './root-chain.ts';
import { writeDraft } from './root-drafts.ts';
import type { FleetDirectory } from './fleet-directory.ts';
import { deviceTopics } from '../../wire/report/index.ts';

/**
 * The files that make a device a member of the fleet, by their absolute path on the device: its
 * configuration and the public keys that it will trust, or the newest root of trust where the fleet
 * has one. Certificates and passwords for the broker are per device and stay the operator's to
 * place.
 * @throws Refusal `not-found` when the fleet has no keys yet, `input-invalid` when the name does
 *   not fit
 */
export async function provisionFiles(
  fleet: FleetDirectory,
  device: string,
  nowSeconds: number,
): Promise<ReadonlyMap<string, string | Uint8Array>> {
  deviceTopics(fleet.config.fleet, device);
  const { url, version, ca, cert, username } = fleet.config.broker;
  const lines = [
    `fleet = ${JSON.stringify(fleet.config.fleet)}`,
    `device = ${JSON.stringify(device)}`,
    '',
    '[broker]',
    `url = ${JSON.stringify(url)}`,
    ...(version === 5 ? ['version = 5'] : []),
    ...(ca === undefined ? [] : ['ca = "/etc/wherry/broker-ca.pem"']),
    ...(cert === undefined ? [] : ['cert = "/etc/wherry/device.pem"', 'key = "/etc/wherry/device.key"']),
    ...(username === undefined
      ? []
      : [`username = ${JSON.stringify(device)}`, 'password_file = "/etc/wherry/broker-password"']),
    '',
  ];
  const root = await newestRoot(fleet, nowSeconds);
  const brokerCa = (await fleet.brokerAddress()).ca;
  return new Map<string, string | Uint8Array>([
    ['/etc/wherry/wherry.toml', lines.join('\n')],
    // A device with a root trusts no key of the directories.
    ...(root === undefined
      ? ([
          ['/etc/wherry/trust/deploy/fleet.asc', await fleet.key('deploy', 'public')],
          ['/etc/wherry/trust/images/root.d/fleet.asc', await fleet.key('images', 'public')],
        ] as const)
      : ([['/etc/wherry/trust/root.cbor', writeDraft(root)]] as const)),
    ...(brokerCa === undefined ? [] : ([['/etc/wherry/broker-ca.pem', brokerCa]] as const)),
  ]);
}
