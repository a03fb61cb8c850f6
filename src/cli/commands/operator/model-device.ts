import { createReadStream } from 'node:fs';
import { isAcName, labelValue, type PodManifest } from '../../../image/appc/index.ts';
import { AccountCollector, readArchive } from '../../../image/aci/index.ts';
import { defaultArchiveLimits } from '../../../image/tar/index.ts';
import { type NetworkFacts, hostOnly } from '../../../device/network/index.ts';
import { places } from '../../../device/host/index.ts';
import type { HostFacts, PodImage } from '../../../device/pod/index.ts';
import type { OfferedImage } from '../../../operator/fleet/index.ts';

/**
 * The device that `wherry pod validate` assumes. It has everything that wherry can use, so every
 * device refuses what is refused here.
 */

/** Node's name for a machine, by the label `arch` of an image. */
const machines: Readonly<Record<string, string>> = {
  aarch64: 'arm64',
  armv7l: 'arm',
  armv6l: 'arm',
  amd64: 'x64',
};

/** CNI plugins of Debian's containernetworking-plugins that wherry runs. */
const plugins = ['loopback', 'bridge', 'host-local', 'portmap', 'bandwidth'];

export function modelHost(
  limits: HostFacts['limits'],
  manifest: PodManifest,
  arch: string | undefined,
): HostFacts {
  const { images, pods, volumes, run, secrets, crun } = places;
  return {
    controllers: ['cpu', 'memory', 'pids', 'io'],
    crunPath: crun,
    cpuCount: 4,
    memoryBytes: 4 * 2 ** 30,
    limits,
    machine: machines[arch ?? ''] ?? 'arm64',
    holderPath: '/usr/bin/catatonit',
    network: modelNetwork(manifest),
    directories: { images, pods, volumes, run, secrets },
  };
}

/**
 * Networks other than wherry's own belong to a device: the one that the pod names is assumed to
 * exist.
 */
function modelNetwork({ annotations }: PodManifest): NetworkFacts {
  const name = labelValue(annotations, 'wherry/network') ?? 'host';
  const isOwn = !isAcName(name) || ['host', 'none', 'bridge'].includes(name);
  const list = {
    cniVersion: '1.0.0',
    name,
    plugins: [
      { type: 'bridge', ipam: { type: 'host-local' } },
      { type: 'portmap', capabilities: { portMappings: true } },
      { type: 'bandwidth', capabilities: { bandwidth: true } },
    ],
  };
  return {
    ...hostOnly,
    subnet6: 'fd00:173::/64',
    plugins: new Set(plugins),
    lists: new Map(isOwn ? [] : [[name, JSON.stringify(list)]]),
    attachScript: '#!/bin/sh\n',
  };
}

/**
 * An image as the compiler takes it, with its accounts.
 * @param layers the image, then those that it depends on, the uppermost first
 */
export async function modelImage(image: OfferedImage, layers: readonly OfferedImage[]): Promise<PodImage> {
  const accounts = new AccountCollector();
  // The lowest first: files of upper layers replace those of lower ones.
  for (const { path } of layers.toReversed()) {
    await readArchive(createReadStream(path), {
      limits: defaultArchiveLimits,
      onEntry: (entry, body) => accounts.take(entry, body),
    });
  }
  const { passwd, group, owners } = accounts;
  const { id, manifest } = image;
  return { id, manifest, layers: layers.map((layer) => layer.id), passwd, group, owners };
}
