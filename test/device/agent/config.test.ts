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

describe('wherry.toml', () => {
  it('needs a fleet, a device and a broker; the rest has defaults', () => {
    expect(parseConfig(minimal)).toMatchObject({
      fleet: 'harbour',
      device: 'crane-7',
      groups: [],
      labels: {},
      broker: { url: 'mqtt://broker:1883', version: 4, bootSpreadSeconds: 30 },
      download: { maxBytesPerSecond: 0 },
      store: { compression: 'none' },
      reportSchedule: '*/5 * * * *',
      gcSchedule: '17 3 * * *',
    });
  });

  it('takes MQTT 5, TLS files and limits', () => {
    const toml = `${minimal}version = 5\nca = "/ca.pem"\ncert = "/c.pem"\nkey = "/k.pem"\n[limits]\nreserve_bytes = 0\n[store]\ncompression = "lz4"\n`;
    expect(parseConfig(toml)).toMatchObject({
      broker: { version: 5, ca: '/ca.pem', cert: '/c.pem', key: '/k.pem' },
      limits: { reserveBytes: 0 },
      store: { compression: 'lz4' },
    });
  });

  it('[C178] takes groups in their order, and labels', () => {
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
      'wherry.toml: broker.url takes mqtt://host:port or mqtts://host:port',
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
    [`${minimal}version = 3\n`, 'wherry.toml: broker.version takes one of 4, 5'],
    [`${minimal}[limits]\nreserve_bytes = -1\n`, /limits\.reserve_bytes takes a whole number from 0 to/],
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
      /^wherry\.toml: download\.proxy takes no user and password; they belong into \/etc\/wherry\/credentials\.toml$/,
    ],
    [`${minimal}[download]\nno_proxy = ["a"]\n`, /download\.no_proxy says nothing without download\.proxy/],
    [`${minimal}[download]\nproxy = "http://p"\nno_proxy = "a"\n`, /download\.no_proxy takes a list/],
    [`${minimal}[download]\nproxy = "http://p"\nno_proxy = ["a,b"]\n`, /download\.no_proxy takes a list/],
    ['fleet = \n', /^wherry\.toml line 1: /],
  ])('%j is refused with a message', (toml, sentence) => {
    expect(fault(toml)).toMatch(sentence);
  });
});
