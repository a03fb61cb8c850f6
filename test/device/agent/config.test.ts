import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../src/device/agent/config.ts';
import { isRefusal } from '../../../src/core/refusal/refusal.ts';

const minimal = 'fleet = "harbour"\ndevice = "crane-7"\n[broker]\nurl = "mqtt://broker:1883"\n';

function fault(toml: string): string {
  try {
    parseConfig(toml);
  } catch (error) {
    if (isRefusal(error, 'config-invalid')) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('the pods whose logs are sent', () => {
  const withPods = (pods: string): readonly string[] =>
    parseConfig(`fleet = "f"\ndevice = "d"\n[broker]\nurl = "mqtt://b"\n[logs]\nremote_pods = ${pods}`)
      .remoteLogPods;

  it('[C231] are none by default, and named or all', () => {
    expect(parseConfig('fleet = "f"\ndevice = "d"\n[broker]\nurl = "mqtt://b"').remoteLogPods).toEqual([]);
    expect(withPods('["web", "db"]')).toEqual(['web', 'db']);
    expect(withPods('["*"]')).toEqual(['*']);
    for (const wrong of ['"web"', '["Web"]', '[1]'])
      expect(() => withPods(wrong)).toThrow('logs.remote_pods');
  });
});

describe('wherry.toml', () => {
  it('needs a fleet, a device and a broker; the rest has defaults', () => {
    expect(parseConfig(minimal)).toMatchObject({
      fleet: 'harbour',
      device: 'crane-7',
      groups: [],
      labels: {},
      broker: { urls: ['mqtt://broker:1883'], version: 4, bootSpreadSeconds: 30 },
      download: { maxBytesPerSecond: 0 },
      store: { compression: 'none' },
      reportSchedule: '*/5 * * * *',
      gcSchedule: '17 3 * * *',
    });
  });

  it('accepts MQTT 5, TLS files and limits', () => {
    const toml = `${minimal}version = 5\nca = "/ca.pem"\ncert = "/c.pem"\nkey = "/k.pem"\n[limits]\nreserve_bytes = 0\n[store]\ncompression = "lz4"\n`;
    expect(parseConfig(toml)).toMatchObject({
      broker: { version: 5, ca: '/ca.pem', cert: '/c.pem', key: '/k.pem' },
      limits: { reserveBytes: 0 },
      store: { compression: 'lz4' },
    });
  });

  it('[C157] accepts several broker addresses instead of one', () => {
    const several = (urls: string) => minimal.replace('url = "mqtt://broker:1883"', `urls = ${urls}`);
    // As fleet.toml, from which the file of a device is made.
    expect(parseConfig(several('["MQTTS://a:8883/"]')).broker.urls).toEqual(['MQTTS://a:8883/']);
    expect(parseConfig(several('["mqtts://a", "mqtt://b:1884"]')).broker.urls).toEqual([
      'mqtts://a',
      'mqtt://b:1884',
    ]);
    expect(fault(several('[]'))).toBe('wherry.toml: broker.url takes text and must be given');
    expect(fault(several('["mqtts://a", "http://b"]'))).toBe(
      'wherry.toml: broker.urls takes mqtt://host:port, mqtts://host:port, ws://host:port/path or wss://host:port/path',
    );
    expect(fault(several('["mqtts://a", "mqtts://a"]'))).toBe(
      'wherry.toml: broker.urls names mqtts://a twice',
    );
    expect(fault(several('"mqtts://a"'))).toMatch(
      /^wherry.toml: broker.urls takes a list of at most 8 addresses/,
    );
    expect(fault(`${minimal}urls = ["mqtts://a"]\n`)).toBe(
      'wherry.toml: broker.urls is given beside broker.url: keep one of them',
    );
  });

  it('[C159] accepts an interval of visits instead of a permanent session', () => {
    expect(parseConfig(minimal).broker.visitEverySeconds).toBeUndefined();
    const timer = `${minimal}connection = "timer"\n`;
    expect(parseConfig(`${timer}interval_seconds = 900\n`).broker.visitEverySeconds).toBe(900);
    expect(fault(timer)).toBe(
      'wherry.toml: broker.interval_seconds must be given with broker.connection "timer"',
    );
    expect(fault(`${timer}interval_seconds = 9\n`)).toBe(
      'wherry.toml: broker.interval_seconds takes a whole number from 10 to 604800',
    );
    expect(fault(`${minimal}interval_seconds = 900\n`)).toBe(
      'wherry.toml: broker.interval_seconds has no effect without broker.connection "timer"',
    );
    expect(fault(`${minimal}connection = "often"\n`)).toBe(
      'wherry.toml: broker.connection takes one of kept, timer',
    );
  });

  it('[C190] sends telemetry only when an interval is given', () => {
    expect(parseConfig(minimal).telemetrySeconds).toBe(0);
    const telemetry = (seconds: number) => `${minimal}[telemetry]\ninterval_seconds = ${seconds}\n`;
    expect(parseConfig(telemetry(300)).telemetrySeconds).toBe(300);
    expect(fault(telemetry(5))).toBe(
      'wherry.toml: telemetry.interval_seconds takes 0 or a whole number from 10 to 86400',
    );
    expect(fault(`${minimal}[telemetry]\nevery = 1\n`)).toBe(
      'wherry.toml: telemetry.every is not a known key',
    );
  });

  it('[C178] accepts groups in their order, and labels', () => {
    const toml = `groups = ["kitchen", "floor-2"]\n${minimal}[labels]\nsite = "pier 4"\n`;
    expect(parseConfig(toml)).toMatchObject({ groups: ['kitchen', 'floor-2'], labels: { site: 'pier 4' } });
  });

  it.each([
    ['a name that could widen a topic', 'groups = ["kitchen/#"]'],
    ['a wildcard', 'groups = ["+"]'],
    ['a group twice', 'groups = ["kitchen", "kitchen"]'],
    ['five groups', 'groups = ["a", "b", "c", "d", "e"]'],
    ['a word', 'groups = "kitchen"'],
    ['a name of 65 characters', `groups = ["${'a'.repeat(65)}"]`],
    ['a label that is not an AC Name', 'labels = { "Site X" = "pier 4" }'],
    ['a number', 'labels = { floor = 2 }'],
    ['a line break', 'labels = { floor = "a\\nb" }'],
    ['17 labels', `labels = { ${Array.from({ length: 17 }, (_, index) => `a${index} = "x"`).join(', ')} }`],
  ])('[C178] refuses %s among groups and labels', (_what, line) => {
    const key = line.split(' ')[0] ?? '';
    expect(() => parseConfig(`${line}\n${minimal}`)).toThrow(
      expect.objectContaining({
        code: 'config-invalid',
        message: expect.stringContaining(key) as string,
      }) as Error,
    );
  });

  it('has a default network for pods', () => {
    expect(parseConfig(minimal).network).toEqual({
      allowHost: true,
      whenUnsaid: 'host',
      subnet: '10.173.0.0/24',
    });
    const own = `${minimal}[network]\nallow_host = false\ndefault = "bridge"\nsubnet = "192.168.40.0/22"\n`;
    expect(parseConfig(own).network).toEqual({
      allowHost: false,
      whenUnsaid: 'bridge',
      subnet: '192.168.40.0/22',
    });
    const six = `${minimal}[network]\nsubnet6 = "fd5c:17e0:9b3a::/64"\n`;
    expect(parseConfig(six).network.subnet6).toBe('fd5c:17e0:9b3a::/64');
  });

  it('[C180] admits a group to the local API only when it is named', () => {
    expect(parseConfig(minimal).api).toEqual({ exec: false });
    expect(parseConfig(`${minimal}[api]\ngroup = "operators"\n`).api).toEqual({
      ...{ group: 'operators', exec: false },
    });
    expect(parseConfig(`${minimal}[api]\nexec = true\n`).api).toEqual({ exec: true });
    expect(fault(`${minimal}[api]\nexec = "root"\n`)).toBe('wherry.toml: api.exec takes true or false');
    for (const group of ['', 'Operators', '0', 'a:b', 'a'.repeat(33)])
      expect(fault(`${minimal}[api]\ngroup = "${group}"\n`)).toMatch(/^wherry.toml: api.group takes/);
    expect(fault(`${minimal}[api]\nuser = "x"\n`)).toBe('wherry.toml: api.user is not a known key');
  });

  it('has an allow list with defaults, each replaced by its key', () => {
    const { allow } = parseConfig(minimal);
    expect(allow.volumes.map(({ path }) => path)).toContain('/srv');
    expect(allow).toMatchObject({ root: true, hostPorts: [{ first: 1, last: 65_535 }] });
    expect(allow.capabilities.size).toBe(14);
    expect([...allow.isolators, ...allow.devices]).toEqual([]);
    const toml = `${minimal}[allow]\nvolumes = ["/data", "/etc/site:ro"]\ncapabilities = ["default", "CAP_NET_ADMIN"]\ndevices = ["/dev/ttyUSB*"]\nroot = false\nhost_ports = ["80", "8000-8999"]\nisolators = ["os/linux/oom-score-adj"]\n`;
    expect(parseConfig(toml).allow).toEqual({
      volumes: [
        { path: '/data', readOnly: false },
        { path: '/etc/site', readOnly: true },
      ],
      devices: ['/dev/ttyUSB*'],
      capabilities: new Set([...allow.capabilities, 'CAP_NET_ADMIN']),
      root: false,
      hostPorts: [
        { first: 80, last: 80 },
        { first: 8000, last: 8999 },
      ],
      isolators: new Set(['os/linux/oom-score-adj']),
    });
  });

  it('accepts a proxy and a rate limit for downloads', () => {
    const toml = `${minimal}[download]\nproxy = "http://proxy.example:3128/"\nno_proxy = ["a.local", ".b"]\nmax_bytes_per_second = 65536\n`;
    expect(parseConfig(toml).download).toEqual({
      proxy: { url: 'http://proxy.example:3128', noProxy: ['a.local', '.b'] },
      maxBytesPerSecond: 65_536,
    });
    const slow = `[download]\nmax_bytes_per_second = 1000\n[limits]\nmin_bytes_per_second = 1000\n`;
    expect(parseConfig(`${minimal}${slow}`).download).toEqual({ maxBytesPerSecond: 1000 });
  });

  it.each([
    ['', /^wherry.toml: fleet takes an AC Name/],
    [
      minimal.replace('harbour', 'Har Bour'),
      'wherry.toml: fleet takes an AC Name such as "gate-17" (a-z, 0-9, single dashes)',
    ],
    [
      minimal.replace('mqtt://broker:1883', 'http://broker'),
      'wherry.toml: broker.url takes mqtt://host:port, mqtts://host:port, ws://host:port/path or wss://host:port/path',
    ],
    [`${minimal}colour = "red"\n`, 'wherry.toml: broker.colour is not a known key'],
    [`extra = 1\n${minimal}`, 'wherry.toml: extra is not a known key'],
    [`${minimal}[network]\nallow_host = 1\n`, 'wherry.toml: network.allow_host takes true or false'],
    [
      `${minimal}[network]\nallow_host = false\n`,
      'wherry.toml: network.default is host, which network.allow_host forbids: set it to "bridge" or "none"',
    ],
    ...[
      '10.0.0.1/24',
      '10.0.0.0',
      '10.0.0.0/31',
      '10.0.0.0/8',
      'fd00::/64',
      '10.0.0.0/24/1',
      '10.0.0/24',
    ].map((subnet): [string, string] => [
      `${minimal}[network]\nsubnet = "${subnet}"\n`,
      'wherry.toml: network.subnet takes an IPv4 network of 4 to 65536 addresses such as "10.173.0.0/24"',
    ]),
    [
      `${minimal}[network]\nsubnet6 = "fd00::1/64"\n`,
      'wherry.toml: network.subnet6 takes an IPv6 network such as "fd5c:17e0:9b3a::/64"',
    ],
    [`${minimal}version = 3\n`, 'wherry.toml: broker.version takes one of 4, 5'],
    [`${minimal}[limits]\nreserve_bytes = -1\n`, /limits\.reserve_bytes takes a whole number from 0 to/],
    [
      `${minimal}[report]\nschedule = "five"\n`,
      'wherry.toml: report.schedule is not a cron expression: five',
    ],
    [
      `${minimal}[gc]\nschedule = "61 * * * *"\n`,
      'wherry.toml: gc.schedule is not a cron expression: 61 * * * *',
    ],
    [`${minimal}[report]\nschedule = 5\n`, 'wherry.toml: report.schedule takes text and must be given'],
    [
      `${minimal}[download]\nmax_bytes_per_second = 1000\n`,
      'wherry.toml: download.max_bytes_per_second is 1000, below limits.min_bytes_per_second, which is 1024: lower that, or no download would be fast enough',
    ],
    [
      `${minimal}[download]\nproxy = "socks5://proxy.example"\n`,
      'wherry.toml: download.proxy takes http://host:port or https://host:port',
    ],
    [`${minimal}[download]\nproxy = "proxy.example:3128"\n`, /download\.proxy takes http:/],
    [`${minimal}[download]\nproxy = "http://proxy.example/path"\n`, /download\.proxy takes http:/],
    [
      `${minimal}[download]\nproxy = "http://u:p@proxy.example"\n`,
      /^wherry\.toml: download\.proxy takes no user and password; put them into \/etc\/wherry\/credentials\.toml$/,
    ],
    [`${minimal}[download]\nno_proxy = ["a"]\n`, /download\.no_proxy has no effect without download\.proxy/],
    [`${minimal}[download]\nproxy = "http://p"\nno_proxy = "a"\n`, /download\.no_proxy takes a list/],
    [`${minimal}[download]\nproxy = "http://p"\nno_proxy = ["a,b"]\n`, /download\.no_proxy takes a list/],
    ...[
      ['volumes = "/srv"', 'volumes takes a list of at most 64 absolute paths, with ":ro" for reading only'],
      ['volumes = ["srv"]', 'volumes takes a list'],
      ['volumes = ["/srv/../etc"]', 'volumes takes a list'],
      ['volumes = [1]', 'volumes takes a list'],
      ['capabilities = ["CAP_NET_ADMN"]', 'capabilities takes a list of at most 64 capabilities, "default"'],
      ['devices = ["/etc/passwd"]', 'devices takes a list of at most 64 paths below /dev, in which'],
      ['devices = ["/dev/tty[0-9]"]', 'devices takes a list'],
      ['root = "no"', 'root takes true or false'],
      ['host_ports = ["0"]', 'host_ports takes a list of at most 64 ports and ranges, as in ["80", "8000-89'],
      ['host_ports = ["90-80"]', 'host_ports takes a list'],
      ['host_ports = ["1-65536"]', 'host_ports takes a list'],
      ['host_ports = [80]', 'host_ports takes a list'],
      ['isolators = ["resource/cpu"]', 'isolators takes a list of at most 64 of os/linux/oom-score-adj, os/'],
      ['hosts = []', 'hosts is not a known key'],
    ].map(([line = '', sentence = '']): [string, string] => [
      `${minimal}[allow]\n${line}\n`,
      `wherry.toml: allow.${sentence}`,
    ]),
    ['fleet = \n', /^wherry\.toml line 1: /],
  ])('%j is refused with a message', (toml, sentence) => {
    expect(fault(toml)).toMatch(sentence);
  });
});
