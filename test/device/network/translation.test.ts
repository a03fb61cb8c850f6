import { describe, expect, it } from 'vitest';
import type { HostPort } from '../../../src/device/network/host-ports.ts';
import { isSubnet6, procAddresses } from '../../../src/device/network/addresses.ts';
import { translationRules } from '../../../src/device/network/translation.ts';

const uuid = 'c3812a47-81e5-8001-bbf8-55205fa4dae3';
const port = (more: Partial<HostPort> = {}): HostPort => ({
  ...{ name: 'http', protocol: 'tcp', hostPort: 8080, podPort: 80, count: 1 },
  ...more,
});
const rules = (family: 4 | 6, ...ports: HostPort[]): readonly string[] =>
  translationRules(uuid, { family, subnet: family === 4 ? '10.173.0.0/24' : 'fd00:173::/64' }, ports).split(
    '\n',
  );
const opened = (lines: readonly string[]): readonly string[] =>
  lines.filter((line) => line.includes('DNAT --to'));

describe('the rules of a pod in the bridge', () => {
  it('let it reach outside with the address of the device', () => {
    expect(rules(4)).toEqual([
      '*nat',
      ':WSRC-c3812a47-81e5-8001-bbf8 - [0:0]',
      '-A WSRC-c3812a47-81e5-8001-bbf8 -s @ -d 224.0.0.0/4 -j RETURN',
      '-A WSRC-c3812a47-81e5-8001-bbf8 -s @ ! -d 10.173.0.0/24 -j MASQUERADE',
      '-A POSTROUTING -s @ -j WSRC-c3812a47-81e5-8001-bbf8',
      'COMMIT',
      '',
    ]);
  });

  it('open each TCP port of a range, at its address', () => {
    const chain = '-A WDST-c3812a47-81e5-8001-bbf8 -p tcp';
    expect(opened(rules(4, port({ count: 2, hostIp: '192.0.2.7' })))).toEqual([
      `${chain} -d 192.0.2.7 --dport 8080 -j DNAT --to-destination @:80`,
      `${chain} -d 192.0.2.7 --dport 8081 -j DNAT --to-destination @:81`,
    ]);
  });

  it('leave UDP ports to portmap', () => {
    expect(rules(4, port({ protocol: 'udp' }))).toEqual(rules(4));
  });

  it('have no chain with a name that is too long for the kernel', () => {
    for (const [, name = ''] of rules(4, port())
      .join('\n')
      .matchAll(/^:(\S+)/gm))
      expect(name.length).toBeLessThan(29);
  });

  it('contain the address at most once in a line', () => {
    for (const line of [...rules(4, port()), ...rules(6, port())])
      expect(line.split('@').length).toBeLessThan(3);
  });
});

it('the rules of IPv6 refuse ::1, which the kernel would not route to the pod', () => {
  const lines = rules(6, port({ hostIp: '::' }), port({ hostIp: '192.0.2.7' }), port({ hostIp: 'fd00::7' }));
  expect(opened(lines)).toEqual([
    '-A WDST-c3812a47-81e5-8001-bbf8 -p tcp --dport 8080 -j DNAT --to-destination [@]:80',
    '-A WDST-c3812a47-81e5-8001-bbf8 -p tcp -d fd00::7 --dport 8080 -j DNAT --to-destination [@]:80',
  ]);
  expect(lines).toContain('-A OUTPUT -m addrtype --dst-type LOCAL ! -d ::1 -j WDST-c3812a47-81e5-8001-bbf8');
  expect(lines.join()).not.toContain('127.0.0.0');
  expect(lines).toContain('-A WSRC-c3812a47-81e5-8001-bbf8 -s @ -d ff00::/8 -j RETURN');
});

it.each([
  ['fd00:173::/64', true],
  ['2001:db8::/126', true],
  ['fd00:173::1/64', false],
  ['fd00:173::/127', false],
  ['fc00::/8', true],
  ['fc00::/7', false],
  ['fd00:173::', false],
  ['10.173.0.0/24', false],
  [':/64', false],
])('%s is a network of IPv6: %s', (text, expected) => {
  expect(isSubnet6(text)).toBe(expected);
});

it.each([
  ['::', '-'],
  ['fd00::1:2', '00000000000000000000000000000000,000000FD000000000000000002000100'],
  [undefined, '-'],
  ['10.0.2.15', '00000000,00000000000000000000000000000000,0F02000A,0000000000000000FFFF00000F02000A'],
])('what listens at %s is found in /proc/net', (address, expected) => {
  expect(procAddresses(address)).toBe(expected);
});
