/**
 * The networks that the device has and allows: values only, read by device/world when pods are
 * staged.
 */
export interface NetworkFacts {
  /** Whether pods may use the host's network (`network.allow_host`). */
  readonly allowHost: boolean;
  /** The network of a pod that names none (`network.default`). */
  readonly whenUnsaid: string;
  /** Addresses of the network `bridge` (`network.subnet`), for example `10.173.0.0/24`. */
  readonly subnet: string;
  /** IPv6 addresses of the network `bridge` (`network.subnet6`); absent: it has none. */
  readonly subnet6?: string;
  /** Whether the kernel has IPv6. */
  readonly ipv6: boolean;
  /** Names of the installed CNI plugins. */
  readonly plugins: ReadonlySet<string>;
  /** The operator's configuration lists, name → text of /etc/wherry/networks/<name>.conflist. */
  readonly lists: ReadonlyMap<string, string>;
  /** Lists that cannot be read, name → why. */
  readonly unreadable?: ReadonlyMap<string, string>;
  /** Those of the lists that have a directory of their name beside them, with files in it. */
  readonly withDirectory?: ReadonlySet<string>;
  /** The program that a pod's network unit runs, /usr/lib/wherry/attach-network. */
  readonly attachScript: string;
}

/** The facts of a device that has only the host's network. */
export const hostOnly: NetworkFacts = {
  allowHost: true,
  whenUnsaid: 'host',
  subnet: '10.173.0.0/24',
  ipv6: true,
  plugins: new Set(),
  lists: new Map(),
  attachScript: '',
};
