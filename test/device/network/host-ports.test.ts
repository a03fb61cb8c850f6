import { describe, expect, it } from 'vitest';
import { parsePodManifest } from '../../../src/image/appc/index.ts';
import { hostOnly } from '../../../src/device/network/network-facts.ts';
import { ownBridge } from '../../../src/device/network/own-bridge.ts';
import { portsOf } from '../../../src/device/network/pod-network.ts';
import { type DeclaredPorts, hostPorts, refuseSharedPorts } from '../../../src/device/network/host-ports.ts';

type Port = DeclaredPorts[number];

const port = (field: string, first: number, more: Partial<Port> = {}): Port => ({
  ...{ field, protocol: 'tcp', first, last: first },
  ...more,
});
const refusal = (...pods: readonly (readonly [mapped: boolean, ...ports: Port[]])[]): string => {
  try {
    refuseSharedPorts(pods.map(([mapped, ...ports]) => ({ mapped, ports })));
    return '';
  } catch (error) {
    expect(error).toMatchObject({ code: 'pod-port-taken' });
    return (error as Error).message;
  }
};

describe('the host ports of a set of pods', () => {
  it('are refused if two pods have the same', () => {
    expect(refusal([true, port('a', 80)], [true, port('b', 80)])).toBe(
      'b: 80/tcp is taken by a; choose another port',
    );
    expect(refusal([true, port('a', 80), port('b', 80)])).toContain('b: 80/tcp');
  });

  it('are refused if ranges overlap', () => {
    expect(refusal([true, port('a', 80, { last: 90 })], [true, port('b', 90, { last: 95 })])).toContain(
      'b: 90',
    );
    expect(refusal([true, port('a', 80, { last: 89 })], [true, port('b', 90)])).toBe('');
  });

  it('are free for each protocol and address', () => {
    const at = (hostIp: string) => ({ hostIp });
    expect(refusal([true, port('a', 53)], [true, port('b', 53, { protocol: 'udp' })])).toBe('');
    expect(refusal([true, port('a', 53, at('192.0.2.1'))], [true, port('b', 53, at('192.0.2.2'))])).toBe('');
    expect(refusal([true, port('a', 53, at('192.0.2.1'))], [true, port('b', 53, at('192.0.2.1'))])).not.toBe(
      '',
    );
    expect(refusal([true, port('a', 53, at('192.0.2.1'))], [true, port('b', 53)])).not.toBe('');
    expect(refusal([true, port('a', 53, at('0.0.0.0'))], [true, port('b', 53, at('::'))])).toBe('');
    expect(refusal([true, port('a', 53, at('fd00::1'))], [true, port('b', 53, at('::'))])).not.toBe('');
  });

  it('are refused if an app in the host network declares them', () => {
    expect(refusal([true, port('a', 80)], [false, port('b', 80)])).toBe(
      'a: 80/tcp is taken by b; choose another port',
    );
    expect(refusal([false, port('a', 80)], [true, port('b', 80)])).toContain('b: 80/tcp is taken by a');
  });

  it('may be declared twice in the host network, which opens nothing', () => {
    expect(refusal([false, port('a', 80)], [false, port('b', 80)])).toBe('');
  });

  it('are refused if systemd opens them in the host network for two pods [C372]', () => {
    const opened = { opened: true };
    expect(refusal([false, port('a', 80, opened)], [false, port('b', 80, opened)])).toBe(
      'b: 80/tcp is taken by a; choose another port',
    );
    expect(refusal([false, port('a', 80, opened)], [false, port('b', 80)])).toBe('');
  });
});

describe('the host ports of a pod', () => {
  const imageId = `sha512-${'0'.repeat(128)}`;
  const manifestOf = (hostPort: number, count: number, podPorts = 1) => {
    const manifest = {
      ...{ acKind: 'PodManifest', acVersion: '0.8.11', apps: [{ name: 'main', image: { id: imageId } }] },
      ports: Array.from({ length: podPorts }, (_, index) => ({
        ...{ name: `p${index}`, hostPort: hostPort + index * count },
        podPort: { name: `p${index}`, protocol: 'tcp', port: 1, count },
      })),
    };
    return parsePodManifest(Buffer.from(JSON.stringify(manifest)));
  };
  const ports = (...args: Parameters<typeof manifestOf>) => hostPorts('web', manifestOf(...args), []);
  const fault = (...args: Parameters<typeof ports>): string => {
    try {
      ports(...args);
      return '';
    } catch (error) {
      expect(error).toMatchObject({ code: 'pod-manifest-invalid' });
      return (error as Error).message;
    }
  };

  it('end at 65535', () => {
    expect(ports(65_534, 2)).toHaveLength(1);
    expect(fault(65_534, 3)).toBe(
      'pod web: ports/p0/hostPort: expected ports up to 65535, found 3 from 65534 on',
    );
  });

  it('are all in use', () => {
    const network = { kind: 'attached', list: ownBridge(hostOnly) } as const;
    expect(portsOf('web', network, manifestOf(8080, 3), []).declared).toEqual([
      { field: 'pod web: ports/p0/hostPort', protocol: 'tcp', first: 8080, last: 8082 },
    ]);
  });

  it('are 256 at most', () => {
    expect(ports(1000, 128, 2)).toHaveLength(2);
    expect(fault(1000, 257)).toBe('pod web: ports: 257 host ports, at most 256 are possible');
  });
});
