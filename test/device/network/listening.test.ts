import { describe, expect, it } from 'vitest';
import { isRefusal } from '../../../src/core/refusal/index.ts';
import { refuseTakenPorts } from '../../../src/device/network/listening.ts';

/** A line of /proc/net/tcp, with the address and the port in its format. */
const line = (at: string, state = '0A', remote = '00000000:0000'): string =>
  `   0: ${at} ${remote} ${state} 00000000:00000000 00:00000000 00000000     0        0 24853 1\n`;
const header = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n';
const any6 = '0'.repeat(32);
const loopback = '0100007F';

function refusal(
  table: string,
  text: string,
  port: { protocol?: string; first?: number; last?: number; hostIp?: string } = {},
): string {
  const field = 'pod web: ports/http/hostPort';
  try {
    refuseTakenPorts(
      [{ field, protocol: 'tcp', first: 8080, last: 8080, ...port }],
      new Map([[table, header + text]]),
    );
  } catch (error) {
    if (isRefusal(error, 'pod-port-taken')) return error.message;
    throw error;
  }
  return 'free';
}

describe('a host port of a new pod [C366]', () => {
  it('is taken while a process of the host listens on it', () => {
    expect(refusal('tcp', line('00000000:1F90'))).toBe(
      'pod web: ports/http/hostPort: 8080/tcp is taken by a process of the host; stop it or choose another port',
    );
  });

  const taken = expect.stringMatching(/is taken by a process of the host/) as string;
  it.each([
    ['another port', 'tcp', line('00000000:1F91'), {}, 'free'],
    ['the last of a range', 'tcp', line('00000000:1F94'), { last: 8084 }, taken],
    ['a connection from it', 'tcp', line('0F02000A:1F90', '01', '0202000A:0016'), {}, 'free'],
    ['one address, for all', 'tcp', line(`${loopback}:1F90`), {}, taken],
    ['all addresses, for one', 'tcp', line('00000000:1F90'), { hostIp: '127.0.0.1' }, taken],
    ['all of IPv6, for one of IPv4', 'tcp6', line(`${any6}:1F90`), { hostIp: '127.0.0.1' }, taken],
    ['another address', 'tcp', line(`${loopback}:1F90`), { hostIp: '10.0.2.15' }, 'free'],
    ['TCP, for UDP', 'tcp', line('00000000:1F90'), { protocol: 'udp' }, 'free'],
    ['UDP, for TCP', 'udp', line('00000000:1F90', '07'), {}, 'free'],
    ['UDP', 'udp', line('00000000:1F90', '07'), { protocol: 'udp' }, taken],
    ['UDP of IPv6', 'udp6', line(`${any6}:1F90`, '07'), { protocol: 'udp' }, taken],
    [
      'a UDP socket with a peer',
      'udp',
      line('0F02000A:1F90', '01', '0202000A:0035'),
      { protocol: 'udp' },
      'free',
    ],
    ['a table that ends in a line', 'tcp', '   0: 00000000:1F90 0000', {}, 'free'],
  ])('and a listener on %s', (_, table, text, port, expected) => {
    expect(refusal(table, text, port)).toEqual(expected);
  });
});
