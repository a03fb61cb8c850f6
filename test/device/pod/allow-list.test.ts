import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../src/device/agent/config.ts';
import {
  type AllowList,
  judge,
  judgePath,
  type JudgedPod,
  privilegedIsolators,
} from '../../../src/device/pod/allow-list.ts';
import type { LabelVerdict } from '../../../src/device/pod/labels.ts';
import { compilePod } from '../../../src/device/pod/compile.ts';
import { parseAcName } from '../../../src/image/appc/identifiers.ts';
import type { Volume } from '../../../src/image/appc/types.ts';
import { parsePodManifest } from '../../../src/image/appc/pod-manifest.ts';
import { boardHost, demoImage, demoUuid, imageId } from './demo.ts';

const minimal = 'fleet = "harbour"\ndevice = "crane-7"\n[broker]\nurl = "mqtt://broker:1883"\n[allow]\n';
const allowOf = (toml: string): AllowList => parseConfig(`${minimal}${toml}\n`).allow;

/** The answer of a device with these lines in `[allow]` to a pod of one app. */
function answer(
  toml: string,
  app: object,
  pod: object = {},
  podApp: object = {},
  verdict: LabelVerdict = 'enforced',
): string {
  const manifest = {
    ...{ acVersion: '0.8.11', acKind: 'PodManifest' },
    apps: [
      {
        ...{ name: 'web', image: { id: imageId } },
        app: { exec: ['/bin/app'], user: '0', group: '0', ...app },
        ...podApp,
      },
    ],
    ...pod,
  };
  try {
    compilePod({
      ...{ name: 'demo-one', uuid: demoUuid },
      manifest: parsePodManifest(Buffer.from(JSON.stringify(manifest))),
      images: new Map([[imageId, demoImage]]),
      host: { ...boardHost, allow: allowOf(toml), judgeLabel: () => verdict },
    });
    return 'runs';
  } catch (error) {
    return `${(error as { code: string }).code} ${(error as Error).message}`;
  }
}

const isolators = (name: string, value: unknown) => ({ isolators: [{ name, value }] });
const host = (source: string, more: object = {}) => ({
  volumes: [{ name: 'data', kind: 'host', source, ...more }],
});
const bridge = (...hostPorts: readonly number[]) => ({
  annotations: [{ name: 'wherry/network', value: 'bridge' }],
  ports: hostPorts.map((hostPort) => ({
    ...{ name: `p${hostPort}`, hostPort },
    podPort: { name: `p${hostPort}`, protocol: 'tcp', port: 80 },
  })),
});
const retain = (...set: readonly string[]) => isolators('os/linux/capabilities-retain-set', { set });
const calls = (...set: readonly string[]) => isolators('os/linux/seccomp-retain-set', { set });
const context = isolators('os/linux/selinux-context', { user: 'u', role: 'r', type: 't', level: 's0' });
const ofDevice = (key: string) => `allow.${key} of wherry.toml on this device`;

describe('a device without [allow]', () => {
  it.each<[string, object, object?]>([
    ['an app of user 0 with the capabilities of the specification', {}],
    ['a volume below /srv', {}, host('/srv/site')],
    ['the authorities, to read', {}, host('/etc/ssl/certs', { readOnly: true })],
    ['the local time, to read', {}, host('/etc/localtime', { readOnly: true })],
    ['a low host port', {}, bridge(80)],
    ['a positive oom score', isolators('os/linux/oom-score-adj', 250)],
    ['a filter that is narrower than the default', calls('read', 'write')],
    ['a loaded AppArmor profile', isolators('os/linux/apparmor-profile', { profile: 'mine' })],
    ['a filter with what its capability opens', isolators('os/linux/seccomp-remove-set', { set: ['chown'] })],
  ])('runs %s', (_what, app, pod) => {
    expect(answer('', app, pod)).toBe('runs');
  });

  it.each<[string, object, object, string]>([
    [
      ...(['a volume of the configuration of the device', {}, host('/etc')] as const),
      `pod demo-one: volumes/data/source: "/etc" is not below a path of ${ofDevice('volumes')}`,
    ],
    [
      ...(['a volume beside an allowed path', {}, host('/srvother')] as const),
      `pod demo-one: volumes/data/source: "/srvother" is not below a path of ${ofDevice('volumes')}`,
    ],
    [
      ...(['the authorities, to write', {}, host('/etc/ssl/certs')] as const),
      `pod demo-one: volumes/data/source: "/etc/ssl/certs" is for reading only by ${ofDevice('volumes')}; add "readOnly": true`,
    ],
    [
      ...(['another capability', retain('CAP_KILL', 'CAP_SYS_ADMIN'), {}] as const),
      `pod demo-one, app web: isolators/os/linux/capabilities-retain-set: CAP_SYS_ADMIN is not in ${ofDevice('capabilities')}; name a set without it`,
    ],
    [
      ...(['no filter of system calls', calls('@appc.io/all'), {}] as const),
      `pod demo-one, app web: isolators/os/linux/seccomp-retain-set: it allows every system call, and the isolator is not in ${ofDevice('isolators')}`,
    ],
    [
      ...(['a filter with a call that the default denies', calls('read', 'bpf'), {}] as const),
      `pod demo-one, app web: isolators/os/linux/seccomp-retain-set: it allows bpf, and the isolator is not in ${ofDevice('isolators')}`,
    ],
    [
      ...(['a negative oom score', isolators('os/linux/oom-score-adj', -1), {}] as const),
      `pod demo-one, app web: isolators/os/linux/oom-score-adj: it is below 0, and the isolator is not in ${ofDevice('isolators')}`,
    ],
    [
      ...(['another SELinux domain than the one by the policy', context, {}] as const),
      `pod demo-one, app web: isolators/os/linux/selinux-context: the isolator is not in ${ofDevice('isolators')}`,
    ],
    [
      ...(['a pod in another SELinux domain', {}, context] as const),
      `pod demo-one, app web: isolators/os/linux/selinux-context: the isolator is not in ${ofDevice('isolators')}`,
    ],
  ])('refuses %s [C162]', (_what, app, pod, message) => {
    expect(answer('', app, pod)).toBe(`pod-forbidden ${message}`);
  });

  it('runs a pod whose SELinux context is ignored', () => {
    expect(answer('', context, {}, {}, 'absent')).toBe('runs');
  });

  it('refuses a volume that an app brings itself [C162]', () => {
    const appVolume = { name: 'data', kind: 'host', source: '/root' };
    expect(answer('', {}, {}, { mounts: [{ volume: 'data', path: '/data', appVolume }] })).toBe(
      `pod-forbidden pod demo-one, app web: mounts/data/appVolume/source: "/root" is not below a path of ${ofDevice('volumes')}`,
    );
  });
});

describe('a device node that an app requests', () => {
  const podApp = { annotations: [{ name: 'wherry/devices', value: '/dev/ttyUSB0' }] };

  it('is refused if no pattern matches it [C164]', () => {
    for (const toml of ['', 'devices = ["/dev/ttyACM*"]', 'devices = ["/dev/ttyUSB"]']) {
      expect(answer(toml, {}, {}, podApp)).toBe(
        `pod-forbidden pod demo-one, app web: annotations/wherry/devices: "/dev/ttyUSB0" is not in ${ofDevice('devices')}`,
      );
    }
  });

  it('is allowed by its name or a pattern', () => {
    expect(answer('devices = ["/dev/ttyUSB*"]', {}, {}, podApp)).toBe('runs');
    expect(answer('devices = ["/dev/i2c-1", "/dev/ttyUSB0"]', {}, {}, podApp)).toBe('runs');
  });
});

describe('a device with [allow]', () => {
  it.each<[string, object, object?]>([
    ['volumes = ["/"]', {}, host('/etc')],
    ['volumes = ["/var/lib/site"]', {}, host('/var/./lib//site')],
    ['volumes = ["/etc:ro", "/etc/site"]', {}, host('/etc/site/pages')],
    ['capabilities = ["default", "CAP_NET_ADMIN"]', retain('CAP_NET_ADMIN', 'CAP_KILL')],
    ['capabilities = ["all"]', retain('CAP_SYS_ADMIN')],
    ['root = false', { user: '33', ...isolators('os/linux/no-new-privileges', true) }],
    ['host_ports = ["80", "8000-8999"]', {}, bridge(80, 8000, 8999)],
    ['host_ports = ["8000-8002"]', { ports: [{ name: 'web', protocol: 'tcp', port: 8000, count: 3 }] }],
    ['isolators = ["os/linux/seccomp-retain-set"]', calls('@appc.io/all')],
    ['isolators = ["os/linux/oom-score-adj"]', isolators('os/linux/oom-score-adj', -500)],
    ['isolators = ["os/linux/selinux-context"]', context, context],
  ])('of %s runs what it allows', (toml, app, pod) => {
    expect(answer(toml, app, pod)).toBe('runs');
  });

  it.each<[string, object, object, string]>([
    ['volumes = []', {}, host('/srv'), 'pod demo-one: volumes/data/source: "/srv" is not below a path'],
    ['capabilities = ["CAP_KILL"]', {}, {}, 'capabilities-retain-set: CAP_AUDIT_WRITE is not in allow.cap'],
    ['root = false', {}, {}, `pod demo-one, app web: user: it is user 0, which ${ofDevice('root')} forbids`],
    ['root = false', { user: '/' }, {}, 'pod-user-unknown'],
    ['root = false', { user: '33' }, {}, `web: isolators/os/linux/no-new-privileges: must be true where`],
    [
      ...(['host_ports = ["80", "8000-8999"]', {}, bridge(80, 22)] as const),
      `pod demo-one: ports/p22/hostPort: 22/tcp is not in ${ofDevice('host_ports')}`,
    ],
    [
      ...([
        'host_ports = ["8000-8002"]',
        { ports: [{ name: 'web', protocol: 'tcp', port: 8000, count: 4 }] },
        {},
      ] as const),
      `8000-8003/tcp is not in ${ofDevice('host_ports')}`,
    ],
    [
      ...(['host_ports = []', { ports: [{ name: 'web', protocol: 'tcp', port: 80 }] }, {}] as const),
      `pod demo-one: port web of an app in the host's network: 80/tcp is not in ${ofDevice('host_ports')}`,
    ],
  ])('of %s refuses what it does not have [C162]', (toml, app, pod, message) => {
    expect(answer(toml, app, pod)).toContain(message);
  });
});

describe('the check of a path', () => {
  const part = fc.constantFrom('a', 'b', 'srv', 'srv2', '.', '');
  const path = fc.array(part, { maxLength: 5 }).map((parts) => `/${parts.join('/')}`);
  const entry = fc.record({ path, readOnly: fc.boolean() });
  const names = (text: string) => text.split('/').filter((one) => one !== '' && one !== '.');

  it('is the same for paths that the kernel treats as the same', () => {
    fc.assert(
      fc.property(path, fc.boolean(), fc.array(entry), (source, readOnly, volumes) => {
        const plain = `/${names(source).join('/')}`;
        const [one, other] = [source, plain].map((text) => judgePath(text, readOnly, { volumes }));
        expect(one === undefined).toBe(other === undefined);
      }),
    );
  });

  it('allows exactly what is below an entry', () => {
    fc.assert(
      fc.property(path, fc.boolean(), fc.array(entry), (source, readOnly, volumes) => {
        const parents = names(source).map(
          (_, index) =>
            `/${names(source)
              .slice(0, index + 1)
              .join('/')}`,
        );
        const allowed = volumes.some(
          (one) => ['/', ...parents].includes(`/${names(one.path).join('/')}`) && (readOnly || !one.readOnly),
        );
        expect(judgePath(source, readOnly, { volumes }) === undefined).toBe(allowed);
      }),
    );
  });

  it('shows 200 characters of a path at most', () => {
    const why = judgePath(`/${'x'.repeat(5000)}`, true, { volumes: [] });
    expect(why).toBe(`"/${'x'.repeat(199)}" is not below a path of ${ofDevice('volumes')}`);
  });
});

describe('the check of a pod', () => {
  const capability = fc.constantFrom('CAP_KILL', 'CAP_CHOWN', 'CAP_SYS_ADMIN');
  const port = fc.integer({ min: 1, max: 20 });
  const range = fc.tuple(port, port).map(([a, b]) => ({ first: Math.min(a, b), last: Math.max(a, b) }));
  const path = fc.constantFrom('/srv', '/srv/a', '/etc');
  const device = fc.constantFrom('/dev/ttyUSB0', '/dev/i2c-1', '/dev/snd/timer');
  const pattern = fc.oneof(device, fc.constantFrom('/dev/*', '/dev/tty*', '/dev/*/*'));
  const allowList: fc.Arbitrary<AllowList> = fc.record({
    volumes: fc.array(fc.record({ path, readOnly: fc.boolean() })),
    devices: fc.array(pattern),
    capabilities: fc.array(capability).map((list) => new Set(list)),
    root: fc.boolean(),
    hostPorts: fc.array(range),
    isolators: fc.subarray([...privilegedIsolators]).map((list) => new Set(list)),
  });
  const app = fc.record({
    name: fc.constantFrom('web', 'db'),
    uid: fc.constantFrom(0, 33),
    devices: fc.array(device.map((name) => ({ path: name, access: 'rw' as const }))),
    capabilities: fc.array(capability),
    noNewPrivileges: fc.boolean(),
    oomScoreAdj: fc.constantFrom(undefined, -1, 0, 1),
    selinuxLabel: fc.constantFrom(undefined, 'u:r:t:s0'),
    beyondFilter: fc.constantFrom(undefined, 'bpf'),
  });
  const volume: fc.Arbitrary<Volume> = fc.record({
    ...{ kind: fc.constant('host'), name: fc.constant(parseAcName('data')), recursive: fc.constant(true) },
    ...{ readOnly: fc.boolean(), source: path },
  });
  const pod: fc.Arbitrary<JudgedPod> = fc.record({
    name: fc.constant('demo'),
    manifest: fc.array(volume).map((volumes) => ({ volumes, apps: [] })),
    apps: fc.array(app, { maxLength: 2 }),
    ports: fc.array(range.map((ports) => ({ field: 'pod demo: port', protocol: 'tcp', ...ports }))),
  });

  it('is that of its parts: a pod runs if each of them would alone', () => {
    fc.assert(
      fc.property(pod, allowList, (whole, allow) => {
        const none = { ...whole, manifest: { volumes: [], apps: [] }, apps: [], ports: [] };
        const parts: JudgedPod[] = [
          ...whole.manifest.volumes.map((volume) => ({ ...none, manifest: { volumes: [volume], apps: [] } })),
          ...whole.apps.map((one) => ({ ...none, apps: [one] })),
          ...whole.ports.map((one) => ({ ...none, ports: [one] })),
        ];
        const refused = parts.map((one) => judge(one, allow)).filter((refusal) => refusal !== undefined);
        expect(judge(whole, allow)?.message).toBe(refused[0]?.message);
      }),
    );
  });

  it('never becomes stricter when a device allows more', () => {
    fc.assert(
      fc.property(pod, allowList, allowList, (whole, one, other) => {
        const both: AllowList = {
          volumes: [...one.volumes, ...other.volumes],
          devices: [...one.devices, ...other.devices],
          capabilities: new Set([...one.capabilities, ...other.capabilities]),
          root: one.root || other.root,
          hostPorts: [...one.hostPorts, ...other.hostPorts],
          isolators: new Set([...one.isolators, ...other.isolators]),
        };
        if (judge(whole, one) === undefined) expect(judge(whole, both)).toBeUndefined();
      }),
    );
  });

  it('always has the code, the pod and a key of the configuration', () => {
    fc.assert(
      fc.property(pod, allowList, (whole, allow) => {
        const refusal = judge(whole, allow);
        if (refusal === undefined) return;
        expect(refusal.code).toBe('pod-forbidden');
        expect(refusal.message).toMatch(/^pod demo.*allow\.[a-z_]+ of wherry\.toml on this device/);
      }),
    );
  });
});
