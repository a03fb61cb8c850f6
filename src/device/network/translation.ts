import type { HostPort } from './host-ports.ts';

/** Addresses of one family that the pods of a network have, and which are not seen outside. */
export interface TranslatedSubnet {
  readonly family: 4 | 6;
  /** For example `10.173.0.0/24`. */
  readonly subnet: string;
}

/** Which family of addresses a host port is opened at; a port without an address is in both. */
export function isOfFamily({ hostIp }: Pick<HostPort, 'hostIp'>, family: 4 | 6): boolean {
  return hostIp === undefined || hostIp.includes(':') === (family === 6);
}

/** The tail of what the chains of a pod are called: the kernel takes 28 characters. */
function chainsOf(uuid: string): { readonly source: string; readonly destination: string } {
  const tail = uuid.slice(0, 23);
  return { source: `WSRC-${tail}`, destination: `WDST-${tail}` };
}

/**
 * What iptables-restore, or ip6tables-restore, reads when a pod is attached; `@` is the pod's
 * address. The plugins bridge (`ipMasq`) and portmap come to the same rules, but start iptables 27
 * times for a pod with one port, which took four fifths of the attachment's time. One restore is
 * one step of the kernel, too: all rules are there, or none.
 *
 * @param ports of TCP: UDP is left to portmap, which makes the kernel forget where a flow led
 *   before.
 */
export function translationRules(
  uuid: string,
  { family, subnet }: TranslatedSubnet,
  ports: readonly HostPort[],
): string {
  const { source, destination } = chainsOf(uuid);
  const opened = ports.filter((port) => port.protocol === 'tcp' && isOfFamily(port, family));
  const local = '-m addrtype --dst-type LOCAL';
  // The kernel does not route ::1 to a pod: such a connection would wait in place of being refused.
  const fromHost = family === 6 ? `${local} ! -d ::1` : local;
  return [
    '*nat',
    `:${source} - [0:0]`,
    ...(opened.length === 0 ? [] : [`:${destination} - [0:0]`]),
    `-A ${source} -s @ -d ${family === 4 ? '224.0.0.0/4' : 'ff00::/8'} -j RETURN`,
    `-A ${source} -s @ ! -d ${subnet} -j MASQUERADE`,
    `-A POSTROUTING -s @ -j ${source}`,
    ...(opened.length === 0
      ? []
      : [
          // A pod of the network that came through a host port: the answer must come back the same way.
          `-A ${source} -s ${subnet} -m conntrack --ctstate DNAT -j MASQUERADE`,
          ...(family === 4 ? [`-A ${source} -s 127.0.0.0/8 -j MASQUERADE`] : []),
          `-A POSTROUTING -d @ -j ${source}`,
          ...opened.flatMap((port) => destinationRules(destination, family, port)),
          `-A PREROUTING ${local} -j ${destination}`,
          `-A OUTPUT ${fromHost} -j ${destination}`,
        ]),
    'COMMIT',
    '',
  ].join('\n');
}

function destinationRules(
  chain: string,
  family: 4 | 6,
  { hostPort, podPort, count, hostIp }: HostPort,
): readonly string[] {
  const at = hostIp === undefined || isEveryAddress(hostIp) ? '' : ` -d ${hostIp}`;
  const pod = family === 4 ? '@' : '[@]';
  return Array.from(
    { length: count },
    (_, index) =>
      `-A ${chain} -p tcp${at} --dport ${hostPort + index} -j DNAT --to-destination ${pod}:${podPort + index}`,
  );
}

/** All addresses of one family, in the words of pods.md. */
export function isEveryAddress(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

/**
 * What /proc/net/tcp and its like have for a socket that takes what comes to an address of the
 * host; `-` for any address. Each word of the kernel is a number of the processor, which is
 * little-endian wherever wherry runs.
 */
export function procAddresses(hostIp: string | undefined): string {
  if (hostIp === undefined) return '-';
  const any6 = '0'.repeat(32);
  if (hostIp.includes(':')) return hostIp === '::' ? '-' : `${any6},${procAddress6(hostIp)}`;
  const word = littleEndian(
    hostIp
      .split('.')
      .map((part) => Number(part).toString(16).padStart(2, '0'))
      .join(''),
  );
  return ['0'.repeat(8), any6, word, `0000000000000000FFFF0000${word}`].join(',');
}

function procAddress6(address: string): string {
  // URL writes it out as RFC 5952 says, a dotted tail included.
  const text = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [head = '', tail] = text.split('::');
  const groups = (part: string) => (part === '' ? [] : part.split(':'));
  const after = tail === undefined ? [] : groups(tail);
  const zeros = Array.from({ length: 8 - groups(head).length - after.length }, () => '0');
  const hex = [...groups(head), ...(tail === undefined ? [] : zeros), ...after].map((group) =>
    group.padStart(4, '0'),
  );
  return [0, 2, 4, 6].map((at) => littleEndian(hex.slice(at, at + 2).join(''))).join('');
}

function littleEndian(word: string): string {
  return (word.match(/../g) ?? []).reverse().join('').toUpperCase();
}
