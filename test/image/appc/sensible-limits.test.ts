import { describe, expect, it } from 'vitest';
import { parsePodManifest } from '../../../src/image/appc/index.ts';
import { compilePod, type CompiledPod } from '../../../src/device/pod/index.ts';
import { boardHost, demoImage, demoUuid, imageId } from '../../device/pod/demo.ts';

function compiled(
  name: string,
  value: object,
  volumes: object[] = [],
  realSources?: ReadonlyMap<string, string>,
): CompiledPod {
  const mountPoints = volumes.map((_, index) => ({ name: `v${index}`, path: `/v${index}` }));
  const app = { exec: ['/bin/app'], user: '0', group: '0', mountPoints, isolators: [{ name, value }] };
  const manifest = {
    ...{ acVersion: '0.8.11', acKind: 'PodManifest', volumes },
    apps: [{ name: 'web', image: { id: imageId }, app }],
  };
  return compilePod({
    ...{ name: 'demo', uuid: demoUuid, images: new Map([[imageId, demoImage]]), host: boardHost },
    manifest: parsePodManifest(Buffer.from(JSON.stringify(manifest))),
    ...(realSources === undefined ? {} : { realSources }),
  });
}

describe('a limit in which no process can run is refused, with what was probably meant', () => {
  it.each([
    ['resource/memory', { limit: '16m' }, /"16m" is less than one unit; write "16M" for 10\^6 or "16Mi"/],
    ['resource/memory', { limit: '64' }, /"64" is 64 bytes, in which no program starts; write "64M"/],
    ['resource/memory', { limit: '16k' }, /"16k" is 16000 bytes, in which no program starts/],
    ['resource/memory', { request: '500m', limit: '1G' }, /"500m" is less than one byte; write "500M"/],
    ['resource/cpu', { limit: '500n' }, /"500n" is less than a thousandth of a core; write "500m"/],
    ['resource/cpu', { limit: '0.0002' }, /"0.0002" is less than a thousandth of a core/],
    ['resource/block-bandwidth', { default: true, limit: '5m' }, /"5m" is less than one unit; write "5M"/],
  ])('%s %j', (name, value, message) => {
    expect(() => compiled(name, value)).toThrow(message);
  });
});

describe('a limit that the kernel cannot enforce as written is reported as modified', () => {
  it.each([
    ['resource/cpu', { limit: '5000' }, /more than the \d+ cores of this device/],
    ['resource/memory', { limit: '1Ti' }, /more than the memory of this device/],
    ['resource/memory', { limit: '1000001' }, /MemoryMax=1003520 .*whole pages/],
  ])('%s %j', (name, value, detail) => {
    const [report] = compiled(name, value).isolators;
    expect(report).toMatchObject({ outcome: 'modified', detail: expect.stringMatching(detail) as string });
  });
});

describe('an app does not start before the file systems of its volumes are mounted', () => {
  it.each([
    ['/mnt/usb/data', 'RequiresMountsFor=/mnt/usb/data'],
    ['/mnt/my disk/data', 'RequiresMountsFor="/mnt/my disk/data"'],
    ['/mnt/100%/data', 'RequiresMountsFor=/mnt/100%%/data'],
    ['/mnt/a"b', "RequiresMountsFor='/mnt/a\"b'"],
  ])('%s', (source, line) => {
    const pod = compiled('resource/cpu', { limit: '1' }, [{ name: 'v0', kind: 'host', source }]);
    const service = pod.units.find(({ name }) => name.endsWith('-web.service'));
    expect(service?.text.split('\n')).toContain(line);
  });

  it.each([
    [['/mnt/usb/data'], String.raw`WantedBy=mnt.mount mnt-usb.mount mnt-usb-data.mount`],
    [['/mnt/my disk', '/mnt/'], String.raw`WantedBy=mnt.mount mnt-my\x20disk.mount`],
    [['/var/lib/site'], 'WantedBy=var-lib.mount var-lib-site.mount'],
    [['/'], undefined],
    [['/var'], undefined],
  ])('and each possible mount of %s starts it', (sources, line) => {
    const volumes = sources.map((source, index) => ({ name: `v${index}`, kind: 'host', source }));
    const pod = compiled('resource/cpu', { limit: '1' }, volumes);
    const lines = pod.units.find(({ name }) => name.endsWith('-web.service'))?.text.split('\n') ?? [];
    expect(lines.find((one) => one.startsWith('WantedBy='))).toBe(line);
  });

  it('a link in the source: the mounts of its target count too [C267]', () => {
    const volumes = [{ name: 'v0', kind: 'host', source: '/srv/data' }];
    const real = new Map([['/srv/data', '/mnt/usb/data']]);
    const pod = compiled('resource/cpu', { limit: '1' }, volumes, real);
    const lines = pod.units.find(({ name }) => name.endsWith('-web.service'))?.text.split('\n');
    expect(lines?.filter((line) => line.startsWith('RequiresMountsFor='))).toEqual([
      'RequiresMountsFor=/srv/data',
      'RequiresMountsFor=/mnt/usb/data',
    ]);
    expect(lines).toContain('WantedBy=srv.mount srv-data.mount mnt.mount mnt-usb.mount mnt-usb-data.mount');
  });

  it('the name of a directory cannot add a directive', () => {
    const source = '/mnt/usb/x\nExecStart=/bin/evil';
    const pod = compiled('resource/cpu', { limit: '1' }, [{ name: 'v0', kind: 'host', source }]);
    const service = pod.units.find(({ name }) => name.endsWith('-web.service'));
    expect(service?.text.split('\n').filter((line) => line.includes('evil'))).toEqual([
      expect.stringMatching(/^WantedBy=mnt\.mount /),
    ]);
    expect(service?.text.split('\n')).toContain('RequiresMountsFor=/mnt/usb');
  });
});
