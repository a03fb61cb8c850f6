import { familyOf, isEveryAddress } from './addresses.ts';
import type { HostPort } from './host-ports.ts';

/** Addresses of one family of the pods of a network, which are not seen outside. */
export interface TranslatedSubnet {
  readonly family: 4 | 6;
  /** For example `10.173.0.0/24`. */
  readonly subnet: string;
}

/** The names of the chains of a pod: the kernel accepts 28 characters. */
function chainsOf(uuid: string): { readonly source: string; readonly destination: string } {
  const tail = uuid.slice(0, 23);
  return { source: `WSRC-${tail}`, destination: `WDST-${tail}` };
}

/**
 * The input of iptables-restore, or ip6tables-restore, when a pod is attached; `@` is the pod's
 * address. The plugins bridge (`ipMasq`) and portmap set the same rules, but start iptables 27
 * times for a pod with one port, which took four fifths of the attachment's time. A restore is also
 * atomic: it sets all rules or none.
 *
 * @param ports of a pod; only TCP is translated here. portmap handles UDP, because it also deletes
 *   the kernel's entries for earlier flows.
 */
export function translationRules(
  uuid: string,
  { family, subnet }: TranslatedSubnet,
  ports: readonly HostPort[],
): string {
  const { source, destination } = chainsOf(uuid);
  const opened = ports.filter((port) => port.protocol === 'tcp' && isAt(port, family));
  const local = '-m addrtype --dst-type LOCAL';
  // The kernel does not route ::1 to a pod: such a connection would hang instead of being refused.
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
          // For pods of the network that use a host port: the answer must take the same way back.
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

/** A port without an address of the host is opened at all addresses. */
function isAt({ hostIp }: HostPort, family: 4 | 6): boolean {
  return hostIp === undefined || familyOf(hostIp) === family;
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
