import type { App, PodManifest } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { canonicalAddress, familyOf, isEveryAddress } from './addresses.ts';

/** Ports of the host that are forwarded to a pod. */
export interface HostPort {
  readonly name: string;
  readonly protocol: 'tcp' | 'udp';
  readonly hostPort: number;
  readonly podPort: number;
  /** The number of consecutive ports, from both numbers on. */
  readonly count: number;
  /** Address of the host, or all of one family (`0.0.0.0`, `::`); absent: all of its addresses. */
  readonly hostIp?: string;
}

/** Ports that are in use on the host when a pod runs, each with the field that declares it. */
export type DeclaredPorts = readonly {
  readonly field: string;
  readonly protocol: string;
  readonly first: number;
  readonly last: number;
  readonly hostIp?: string;
  /** Whether systemd opens it in the host's network when the pod starts. */
  readonly opened?: boolean;
}[];

/** Each port is a rule of the kernel. */
const maxPorts = 256;

/**
 * The host ports of a pod (pods.md): each names a port of an app, or has a `podPort` of its own.
 * @throws Refusal pod-manifest-invalid, pod-port-taken
 */
export function hostPorts(pod: string, manifest: PodManifest, apps: readonly App[]): readonly HostPort[] {
  const ports = manifest.ports.map((exposed): HostPort => {
    const refuse = (key: string, why: string) =>
      new Refusal('pod-manifest-invalid', `pod ${pod}: ports/${exposed.name}${key}: ${why}`);
    const port =
      exposed.podPort ?? apps.flatMap((app) => app.ports).find(({ name }) => name === exposed.name);
    if (port === undefined) throw refuse('', 'no app has a port of this name, and the pod gives no podPort');
    const { protocol, count } = port;
    if (protocol !== 'tcp' && protocol !== 'udp') {
      throw refuse(
        '',
        `a host port leads to a port of protocol "tcp" or "udp", found ${JSON.stringify(protocol)}`,
      );
    }
    if (exposed.hostPort + count - 1 > 65535) {
      throw refuse('/hostPort', `expected ports up to 65535, found ${count} from ${exposed.hostPort} on`);
    }
    const hostIp = exposed.hostIp === undefined ? undefined : canonicalAddress(exposed.hostIp);
    if (hostIp === '::1') {
      throw refuse(
        '/hostIP',
        'the kernel leads nothing from ::1 to a pod; use 127.0.0.1, or leave it out for all addresses',
      );
    }
    return {
      ...{ name: exposed.name, protocol, hostPort: exposed.hostPort, podPort: port.port, count },
      ...(hostIp === undefined ? {} : { hostIp }),
    };
  });
  const total = ports.reduce((sum, { count }) => sum + count, 0);
  if (total > maxPorts) {
    throw new Refusal(
      'pod-manifest-invalid',
      `pod ${pod}: ports: ${total} host ports, at most ${maxPorts} are possible`,
    );
  }
  return ports;
}

/** The ports on which the apps of a pod in the host's network declare to listen. */
export function declaredPorts(pod: string, apps: readonly App[]): DeclaredPorts {
  return apps.flatMap((app) =>
    app.ports.map(({ name, protocol, port, count, socketActivated }) => ({
      field: `pod ${pod}: port ${name} of an app in the host's network`,
      protocol,
      first: port,
      last: port + count - 1,
      ...(socketActivated ? { opened: true } : {}),
    })),
  );
}

/**
 * Refuses host ports that two pods map or have opened, or that one maps and an app in the host's
 * network declares.
 * @param pods the ports of each pod of a set, in its order
 * @throws Refusal pod-port-taken, naming the later of the two fields
 */
export function refuseSharedPorts(
  pods: readonly { readonly mapped: boolean; readonly ports: DeclaredPorts }[],
): void {
  const seen: { mapped: boolean; port: DeclaredPorts[number] }[] = [];
  for (const { mapped, ports } of pods) {
    for (const port of ports) {
      // Two apps in the host's network may declare the same port, because that does not open it.
      const clash = (one: (typeof seen)[number]): boolean =>
        mapped || one.mapped || (port.opened === true && one.port.opened === true);
      const other = seen.find((one) => clash(one) && overlap(one.port, port));
      if (other !== undefined) {
        const [refused, holder] = mapped || !other.mapped ? [port, other.port] : [other.port, port];
        throw new Refusal(
          'pod-port-taken',
          `${refused.field}: ${refused.first}/${refused.protocol} is taken by ${holder.field}; choose another port`,
        );
      }
      seen.push({ mapped, port });
    }
  }
}

function overlap(a: DeclaredPorts[number], b: DeclaredPorts[number]): boolean {
  const sameAddress =
    a.hostIp === undefined ||
    b.hostIp === undefined ||
    a.hostIp === b.hostIp ||
    (familyOf(a.hostIp) === familyOf(b.hostIp) && (isEveryAddress(a.hostIp) || isEveryAddress(b.hostIp)));
  return a.protocol === b.protocol && a.first <= b.last && b.first <= a.last && sameAddress;
}
