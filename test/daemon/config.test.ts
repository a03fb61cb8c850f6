import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/daemon/config.ts';
import { isRefusal } from '../../src/refusal/index.ts';

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
      broker: { url: 'mqtt://broker:1883', version: 4, bootSpreadSeconds: 30 },
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
    [`${minimal}version = 3\n`, 'wherry.toml: broker.version takes one of 4, 5'],
    [`${minimal}[limits]\nreserve_bytes = -1\n`, /limits\.reserve_bytes takes a whole number from 0 to/],
    [`${minimal}[report]\nschedule = 5\n`, 'wherry.toml: report.schedule takes text and must be given'],
    ['fleet = \n', /^wherry\.toml line 1: /],
  ])('%j is refused with a sentence', (toml, sentence) => {
    expect(fault(toml)).toMatch(sentence);
  });
});
