import { parseImageManifest } from '../../../src/image/appc/image-manifest.ts';
import { parseImageId } from '../../../src/image/appc/identifiers.ts';
import type { NetworkFacts } from '../../../src/device/network/index.ts';
import type { HostFacts, PodImage } from '../../../src/device/pod/compiled-pod.ts';

export const demoUuid = '0123abcd-0000-8000-8000-000000000000';
export const imageId = parseImageId(`sha512-${'ab'.repeat(64)}`);

/** An image with its own accounts and a file of another owner, but without an app. */
export const demoImage: PodImage = {
  id: imageId,
  manifest: parseImageManifest(
    Buffer.from(JSON.stringify({ acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/demo' })),
  ),
  layers: [imageId],
  passwd: 'root:x:0:0::/:/bin/sh\nuser1:x:1000:1000::/:\nuser1:x:1:1::/:\n4321:x:99:99::/:\nbroken:x:-1:0\n',
  group: 'root:x:0:\ngroup1:x:100:user1\n',
  owners: new Map([['/srv', { uid: 33, gid: 44 }]]),
};

export const boardNetwork: NetworkFacts = {
  allowHost: true,
  whenUnsaid: 'host',
  subnet: '10.173.0.0/24',
  ipv6: true,
  plugins: new Set(['bandwidth', 'bridge', 'host-local', 'loopback', 'macvlan', 'portmap', 'tuning']),
  lists: new Map(),
  attachScript: 'the script of the package',
};

export const boardHost: HostFacts = {
  controllers: ['cpu', 'memory', 'pids', 'io'],
  crunPath: '/usr/bin/crun',
  cpuCount: 2,
  memoryBytes: 512 << 20,
  limits: 'best-effort',
  machine: 'arm64',
  holderPath: '/usr/bin/catatonit',
  network: boardNetwork,
  directories: {
    images: '/var/lib/wherry/images',
    pods: '/var/lib/wherry/pods',
    volumes: '/var/lib/wherry/volumes',
    run: '/run/wherry',
    secrets: '/var/lib/wherry/secrets',
  },
};
