import { describe, expect, it } from 'vitest';
import { networkLimit } from '../../../src/device/network/network-limit.ts';
import { hostOnly } from '../../../src/device/network/network-facts.ts';
import { ownBridge } from '../../../src/device/network/own-bridge.ts';
import { readNetworkList } from '../../../src/device/network/network-list.ts';

const facts = { ...hostOnly, plugins: new Set(['bandwidth']) };
const bridge = { kind: 'attached', list: ownBridge(hostOnly) } as const;

describe('a limit of the network', () => {
  it('becomes bits in both directions, with a burst that holds the largest packet', () => {
    expect(networkLimit(bridge, facts, 1000n).bandwidth).toEqual({
      ...{ ingressRate: 8000, ingressBurst: 524_288, egressRate: 8000, egressBurst: 524_288 },
    });
    expect(networkLimit(bridge, facts, 1_000_000_000n).bandwidth?.egressBurst).toBe(160_000_000);
  });

  it('stays within the limits of the kernel and of JSON', () => {
    const { bandwidth } = networkLimit(bridge, facts, 1n << 80n);
    expect(bandwidth?.egressRate).toBe(Number.MAX_SAFE_INTEGER);
    expect(bandwidth?.egressBurst).toBe(2 ** 34);
  });

  it('is ignored with the reason if no plugin enforces it', () => {
    const macvlan = readNetworkList(
      'lan',
      '{"cniVersion":"1.0.0","name":"lan","plugins":[{"type":"macvlan"}]}',
    );
    expect(networkLimit({ kind: 'attached', list: macvlan }, facts, 1n)).toEqual({
      outcome: 'ignored',
      detail: 'the network lan cannot be limited',
    });
    expect(networkLimit(bridge, hostOnly, 1n)).toEqual({
      outcome: 'ignored',
      detail: 'the CNI plugin bandwidth is not installed',
    });
    expect(networkLimit({ kind: 'host' }, facts, 1n)).toMatchObject({ outcome: 'ignored' });
  });
});
