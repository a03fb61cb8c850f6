import type { DeclaredPorts } from '../network/index.ts';
import type { CompiledPod } from './compiled-pod.ts';
import type { NetworkedPod } from './compile-network.ts';
import { hostMetadataSocket, metadataSocketUnit } from './socket-units.ts';

/** The socket unit that the apps of the pod wait for. */
export function metadataSocket({ network, places }: Pick<NetworkedPod, 'network' | 'places'>): string {
  return network.kind === 'host' ? hostMetadataSocket : places.metadataSocket;
}

/**
 * Compiles the socket of the pod's metadata. Pods in the host's network share one; their tokens
 * differ.
 */
export function compileMetadata(context: NetworkedPod): CompiledPod['units'] {
  const { input, network, places } = context;
  if (input.metadataUrl === undefined) return [];
  const listen = new URL(input.metadataUrl).host;
  const name = metadataSocket(context);
  const text =
    network.kind === 'host'
      ? metadataSocketUnit({
          description: 'Metadata of pods in the network of the host',
          ...{ listen, proxy: 'wherry-metadata-proxy@host.service' },
        })
      : metadataSocketUnit({
          description: `Metadata of pod ${input.name}`,
          ...{ listen, proxy: places.metadataProxy },
          attached: { netns: places.netns, networkUnit: places.networkUnit },
        });
  return [{ name, text }];
}

/**
 * The port of the service in the network of the host. A host port of another pod would lead its
 * requests, with their tokens, to that pod.
 */
export function metadataPorts({ input: { name, metadataUrl }, network }: NetworkedPod): DeclaredPorts {
  if (metadataUrl === undefined || network.kind !== 'host') return [];
  const { hostname, port } = new URL(metadataUrl);
  const field = `the metadata service of pod ${name} in the host's network`;
  return [{ field, protocol: 'tcp', first: Number(port), last: Number(port), hostIp: hostname }];
}
