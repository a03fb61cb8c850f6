import { describe, expect, it } from 'vitest';
import { type DeclaredPorts, refuseSharedPorts } from '../../../src/device/network/host-ports.ts';

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
});
