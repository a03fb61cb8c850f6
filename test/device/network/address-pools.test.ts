import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { isRefusal } from '../../../src/core/refusal/index.ts';
import {
  type AddressPool,
  addressPools,
  refuseExhausted,
} from '../../../src/device/network/address-pools.ts';

const list = (ipam: object, name = 'lan') => ({
  type: 'bridge',
  name,
  ipam: { type: 'host-local', ...ipam },
});
const pods = (count: number, pools: readonly AddressPool[]) =>
  Array.from({ length: count }, (_, index) => ({ name: `pod-${index}`, uuid: `uuid-${index}`, pools }));
const noLeases = new Map<string, []>();

function refusal(
  ...[set, leases = noLeases, leaving = []]: [
    Parameters<typeof refuseExhausted>[0],
    Parameters<typeof refuseExhausted>[1]?,
    (readonly string[])?,
  ]
): string | undefined {
  try {
    refuseExhausted(set, leases, new Set(leaving));
  } catch (error) {
    if (isRefusal(error, 'pod-network-failed')) return error.message;
    throw error;
  }
  return undefined;
}

/** What the plugin accepts and how many addresses it then has, as it was seen to do it. */
const ranges: readonly (readonly [string, object, number | undefined])[] = [
  ['a small subnet', { ranges: [[{ subnet: '10.1.0.0/29' }]] }, 5],
  ['the smallest subnet', { ranges: [[{ subnet: '10.1.0.0/30' }]] }, 1],
  ['the old form', { subnet: '10.1.0.0/29' }, 5],
  ['a gateway at the end', { subnet: '10.1.0.0/29', gateway: '10.1.0.6' }, 5],
  ['a gateway elsewhere', { subnet: '10.1.0.0/29', gateway: '10.9.0.6' }, 6],
  ['a start', { subnet: '10.1.0.0/29', rangeStart: '10.1.0.3' }, 4],
  ['one address', { subnet: '10.1.0.0/29', rangeStart: '10.1.0.3', rangeEnd: '10.1.0.3' }, 1],
  ['an end at the broadcast address', { subnet: '10.1.0.0/29', rangeEnd: '10.1.0.7' }, 6],
  ['a start at the network address', { subnet: '10.1.0.0/29', rangeStart: '10.1.0.0' }, 6],
  ['a gateway in the range', { subnet: '10.1.0.0/29', rangeEnd: '10.1.0.3', gateway: '10.1.0.3' }, 2],
  ['two ranges in a set', { ranges: [[{ subnet: '10.1.0.0/30' }, { subnet: '10.2.0.0/30' }]] }, 2],
  ['a scarce second set', { ranges: [[{ subnet: '10.1.0.0/29' }], [{ subnet: 'fd00::/126' }]] }, 2],
  ['both forms', { subnet: '10.3.0.0/30', ranges: [[{ subnet: '10.1.0.0/29' }]] }, 1],
  ['a subnet without room', { ranges: [[{ subnet: '10.1.0.0/31' }]] }, undefined],
  ['a subnet that is no subnet', { ranges: [[{ subnet: 'ten/eight' }]] }, undefined],
  ['an end outside', { subnet: '10.1.0.0/29', rangeEnd: '10.1.0.9' }, undefined],
  [
    'a start after the end',
    { subnet: '10.1.0.0/29', rangeStart: '10.1.0.5', rangeEnd: '10.1.0.4' },
    undefined,
  ],
  ['nothing', {}, undefined],
  ['another type', { type: 'dhcp', subnet: '10.1.0.0/30' }, undefined],
];

describe('the addresses of a network [C367]', () => {
  it.each(ranges)('are counted for %s', (_, ipam, count) => {
    const pools = addressPools(list(ipam));
    if (count === undefined) {
      expect(pools).toEqual([]);
      return;
    }
    expect(refusal(pods(count, pools))).toBeUndefined();
    expect(refusal(pods(count + 1, pools))).toBe(
      `pod pod-${count}: the network lan has ${count} addresses, and ${count + 1} are needed with this version; enlarge /etc/wherry/networks/lan.conflist or choose another network`,
    );
  });

  const plugin = '/usr/lib/cni/host-local';
  const counted = ranges.filter(([, , count]) => count !== undefined);
  it.skipIf(!existsSync(plugin)).each(counted)('are as many as the plugin assigns: %s', (_, ipam, count) => {
    const dataDir = mkdtempSync(join(tmpdir(), 'leases-'));
    onTestFinished(() => rmSync(dataDir, { recursive: true }));
    const input = JSON.stringify({ cniVersion: '1.0.0', ...list({ ...ipam, dataDir }) });
    const add = (id: number) =>
      execFileSync(plugin, {
        input,
        env: {
          ...{ CNI_COMMAND: 'ADD', CNI_CONTAINERID: `uuid-${id}`, CNI_NETNS: '/none', CNI_IFNAME: 'eth0' },
          CNI_PATH: '/usr/lib/cni',
        },
        stdio: 'pipe',
      });
    for (let id = 0; id < (count ?? 0); id++) add(id);
    expect(() => add(count ?? 0)).toThrow();
    // A lease is a file with the name of the address and the ID of the container.
    const names = readdirSync(join(dataDir, 'lan')).filter((name) => /^[0-9a-f]*[.:]/.test(name));
    const owners = names.map((name) => readFileSync(join(dataDir, 'lan', name), 'latin1').split(/\s/)[0]);
    expect(owners).toContain('uuid-0');
  });

  const directory = '/run/wherry/leases/lan';
  const pools = addressPools(list({ subnet: '10.1.0.0/30', dataDir: '/run/wherry/leases' }));
  const leases = (address: string, id: string) => new Map([[directory, [{ address, id }]]]);
  it.each([
    ['of a pod that stays', leases('10.1.0.2', 'uuid-0'), [], undefined],
    ['of a pod that is stopped first', leases('10.1.0.2', 'old'), ['old'], undefined],
    ['of an earlier range', leases('10.9.0.2', 'old'), [], undefined],
    [
      'of others',
      leases('10.1.0.2', 'stranger'),
      [],
      `pod pod-0: the network lan has 1 addresses, and 2 are needed with this version (1 of them by leases in ${directory} of others); enlarge /etc/wherry/networks/lan.conflist or choose another network`,
    ],
  ])('and a lease %s', (_, known, leaving, expected) => {
    expect(refusal(pods(1, pools), known, leaving)).toBe(expected);
  });

  it('are those of the configuration for the network bridge, too', () => {
    const bridge = addressPools(list({ subnet: '10.1.0.0/30' }, 'bridge'));
    expect(refusal(pods(2, bridge))).toContain('enlarge network.subnet of wherry.toml');
  });
});
