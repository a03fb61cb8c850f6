import { describe, expect, it } from 'vitest';
import type { CompiledPod } from '../../../src/device/pod/index.ts';
import { checkAttachments } from '../../../src/device/world/check-attachments.ts';
import { deployedPod } from '../../support/world-model.ts';

/** A process of the host that listens on port 8080. */
const listening = `  sl  local_address rem_address   st
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 24853 1\n`;

/** A device with that process, on which a stranger has the only address of the network lan. */
const disk = {
  readAt: (path: string) => Promise.resolve(Buffer.from(path === '/proc/net/tcp' ? listening : '')),
  list: () => Promise.resolve(['10.1.0.2', 'last_reserved_ip.0', 'lock']),
  read: () => Promise.resolve(Buffer.from('stranger\r\neth0')),
} as unknown as Parameters<typeof checkAttachments>[1]['disk'];

const port = { field: 'port', protocol: 'tcp', first: 8080, last: 8080 };
const pod = (uuid: string, more: Partial<CompiledPod>): CompiledPod =>
  ({ name: 'web', uuid, files: [], ports: { mapped: false, ports: [] }, ...more }) as unknown as CompiledPod;
const running = (uuid: string, network?: string) => ({
  ...{ ...deployedPod(uuid), uuid },
  ...(network === undefined ? {} : { network }),
});
const check = (compiled: CompiledPod, ...now: readonly ReturnType<typeof running>[]) =>
  checkAttachments([compiled], { disk, running: now });

describe('a host port with a listener', () => {
  const mapped = pod('new', { ports: { mapped: true, ports: [port] } });
  const taken = { code: 'pod-port-taken' };

  it('is refused for a new pod [C366] [C372]', async () => {
    await expect(check(mapped)).rejects.toMatchObject(taken);
    await expect(check(mapped, running('old', 'bridge'))).rejects.toMatchObject(taken);
    const opened = pod('new', { ports: { mapped: false, ports: [{ ...port, opened: true }] } });
    await expect(check(opened)).rejects.toMatchObject(taken);
  });

  it('is not refused if it is only declared, or the pod runs, or a pod that stops can have it', async () => {
    await check(pod('new', { ports: { mapped: false, ports: [port] } }));
    await check(mapped, running('new', 'bridge'));
    await check(mapped, running('old'));
  });
});

describe('a network without an address', () => {
  const ipam = { type: 'host-local', dataDir: '/run/wherry/leases', subnet: '10.1.0.0/30' };
  const content = JSON.stringify({ name: 'lan', ipam });
  const files = [{ path: 'network/10-bridge.json', content, mode: 0o600 }];

  it('is refused for a pod, unless the pod that has the lease stops [C367]', async () => {
    await expect(check(pod('new', { files }))).rejects.toMatchObject({ code: 'pod-network-failed' });
    await check(pod('new', { files }), running('stranger', 'lan'));
    await check(pod('new', {}));
    await check(pod('new', { files, timer: 'new.timer' }));
  });
});
