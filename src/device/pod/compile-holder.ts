import { Refusal } from '../../core/refusal/index.ts';
import { holderConfig } from './bundle.ts';
import type { CompiledPod } from './compiled-pod.ts';
import { hostname, type NetworkedPod } from './compile-network.ts';
import type { PodIsolation } from './isolation.ts';
import { holderUnit } from './units.ts';

/**
 * Compiles the holder of the namespaces of a pod with several apps.
 *
 * @throws Refusal `device-unsupported`
 */
export function compileHolder(
  { input, places, isolation, network }: NetworkedPod & { readonly isolation: PodIsolation },
  scheduled: boolean,
): Pick<CompiledPod, 'files' | 'directories' | 'units'> {
  const { name, host } = input;
  if (host.holderPath === undefined) {
    throw new Refusal(
      'device-unsupported',
      `pod ${name} has several apps, which takes catatonit to hold their namespaces; install it`,
    );
  }
  const root = 'holder/rootfs';
  const config = holderConfig({
    root: places.absolute(root),
    program: host.holderPath,
    hostname: hostname(name),
    sysctl: isolation.sysctl,
    selinuxLabel: isolation.selinuxLabel,
    noNetwork: network.kind === 'none',
  });
  return {
    files: [
      { path: 'holder/config.json', content: config, mode: 0o600 },
      // The mount point of the program.
      { path: `${root}/holder`, content: '', mode: 0o600 },
    ],
    directories: ['proc', 'dev'].map((name) => ({ path: `${root}/${name}`, mode: 0o755, uid: 0, gid: 0 })),
    units: [{ name: places.holderUnit, text: holderUnit({ podName: name, places, host, scheduled }) }],
  };
}
