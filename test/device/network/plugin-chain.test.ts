import { describe, expect, it } from 'vitest';
import type { HostPort } from '../../../src/device/network/host-ports.ts';
import { networkLimit } from '../../../src/device/network/network-limit.ts';
import { hostOnly } from '../../../src/device/network/network-facts.ts';
import { readNetworkList } from '../../../src/device/network/network-list.ts';
import { ownBridge } from '../../../src/device/network/own-bridge.ts';
import { type AttachmentArguments, pluginChain } from '../../../src/device/network/plugin-chain.ts';
import type { NetworkList } from '../../../src/device/network/network-list.ts';

const tcp: HostPort = { name: 'http', protocol: 'tcp', hostPort: 8080, podPort: 80, count: 2 };
const udp: HostPort = {
  ...{ name: 'dns', protocol: 'udp', hostPort: 53, podPort: 5353, count: 1 },
  hostIp: '192.0.2.7',
};
const ofUdp = { hostPort: 53, containerPort: 5353, protocol: 'udp', hostIP: '192.0.2.7' };

const configs = (list: NetworkList, args: AttachmentArguments) =>
  pluginChain(list, args).map(({ type, text }) => {
    expect(text.endsWith('}\n')).toBe(true);
    const config = JSON.parse(text) as Record<string, unknown>;
    expect(config['type']).toBe(type);
    return config;
  });

const operators = (...plugins: object[]) =>
  readNetworkList('lan', JSON.stringify({ cniVersion: '0.4.0', name: 'lan', plugins }));

describe('the plugins of the bridge', () => {
  const list = ownBridge({ subnet: '10.173.0.0/24', subnet6: 'fd00:173::/64' });

  it('create it, and map UDP ports only', () => {
    expect(configs(list, { ports: [tcp, udp] })).toEqual([
      {
        ...{ cniVersion: '1.0.0', name: 'bridge', type: 'bridge', bridge: 'wherry0' },
        ...{ isGateway: true, hairpinMode: true },
        ipam: {
          ...{ type: 'host-local', dataDir: '/run/wherry/leases' },
          ranges: [[{ subnet: '10.173.0.0/24' }], [{ subnet: 'fd00:173::/64' }]],
          routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
        },
      },
      {
        ...{ cniVersion: '1.0.0', name: 'bridge', type: 'portmap', snat: true },
        runtimeConfig: { portMappings: [ofUdp] },
      },
    ]);
  });

  it('are without portmap if it has nothing to map', () => {
    expect(configs(list, { ports: [tcp] }).map(({ type }) => type)).toEqual(['bridge']);
  });

  it('end with bandwidth if the pod has a limit', () => {
    const facts = { ...hostOnly, plugins: new Set(['bandwidth']) };
    const { bandwidth } = networkLimit({ kind: 'attached', list }, facts, 125_000n);
    if (bandwidth === undefined) throw new Error('it is not limited');
    expect(configs(list, { ports: [], bandwidth }).at(-1)).toEqual({
      ...{ cniVersion: '1.0.0', name: 'bridge', type: 'bandwidth', runtimeConfig: { bandwidth } },
    });
  });
});

describe('the plugins of an operator', () => {
  const ptp = { type: 'ptp', ipMasq: true };
  const bandwidth = { ingressRate: 8, ingressBurst: 8, egressRate: 8, egressBurst: 8 };

  it('get name and version of their list, whatever their own are [C368]', () => {
    const own = { type: 'ptp', name: 'wan', cniVersion: '0.1.0' };
    expect(configs(operators(own), { ports: [] })).toEqual([
      { cniVersion: '0.4.0', name: 'lan', type: 'ptp' },
    ]);
  });

  it('get the ports of both protocols, one by one, if they take them', () => {
    const portmap = { type: 'portmap', capabilities: { portMappings: true } };
    expect(configs(operators(ptp, portmap), { ports: [tcp, udp] })).toEqual([
      { cniVersion: '0.4.0', name: 'lan', ...ptp },
      {
        ...{ cniVersion: '0.4.0', name: 'lan', type: 'portmap' },
        runtimeConfig: {
          portMappings: [
            { hostPort: 8080, containerPort: 80, protocol: 'tcp' },
            { hostPort: 8081, containerPort: 81, protocol: 'tcp' },
            ofUdp,
          ],
        },
      },
    ]);
  });

  it('get no arguments of a capability that they switch off', () => {
    const off = { type: 'portmap', capabilities: { portMappings: false, bandwidth: false } };
    const last = configs(operators(ptp, off), { ports: [udp], bandwidth });
    expect(last.map((config) => [config['type'], 'runtimeConfig' in config])).toEqual([
      ['ptp', false],
      ['portmap', false],
      ['bandwidth', true],
    ]);
  });

  it('limit the network themselves if they can', () => {
    const limits = { type: 'limiter', capabilities: { bandwidth: true } };
    expect(configs(operators(ptp, limits), { ports: [], bandwidth }).slice(1)).toEqual([
      { cniVersion: '0.4.0', name: 'lan', type: 'limiter', runtimeConfig: { bandwidth } },
    ]);
  });
});
