import { invalid, type Table } from './config-table.ts';

/** `[broker]` of wherry.toml. */
export interface BrokerConfig {
  /** In the order in which they are tried, each once. */
  readonly urls: readonly [string, ...string[]];
  /** MQTT protocol level: 4 is 3.1.1. */
  readonly version: 4 | 5;
  /** Paths of PEM files. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly username?: string;
  readonly passwordFile?: string;
  /**
   * After a boot the first connection waits up to this long, so that the devices of a site do not
   * reconnect at once.
   */
  readonly bootSpreadSeconds: number;
  /** Seconds between two visits to the broker; undefined keeps the session. */
  readonly visitEverySeconds?: number;
}

const mostUrls = 8;

/** @throws Refusal `config-invalid` */
export function readBroker(broker: Table): BrokerConfig {
  return {
    urls: readUrls(broker),
    version: broker.oneOf('version', [4, 5], 4),
    ...broker.optionalTexts({
      ca: 'ca',
      cert: 'cert',
      key: 'key',
      username: 'username',
      password_file: 'passwordFile',
    }),
    bootSpreadSeconds: broker.integer('boot_spread_seconds', 0, 3600, 30),
    ...readVisits(broker),
  };
}

function readVisits(broker: Table): { visitEverySeconds?: number } {
  const connection = broker.oneOf('connection', ['kept', 'timer'], 'kept');
  const [least, most, unsaid] = [10, 7 * 86_400, 0] as const;
  const interval = broker.integer('interval_seconds', least, most, unsaid);
  if (connection === 'timer' && interval === unsaid) {
    throw invalid('broker.interval_seconds', `must be given with broker.connection "timer"`);
  }
  if (connection === 'kept' && interval !== unsaid) {
    throw invalid('broker.interval_seconds', `has no effect without broker.connection "timer"`);
  }
  return connection === 'timer' ? { visitEverySeconds: interval } : {};
}

function readUrls(broker: Table): BrokerConfig['urls'] {
  const expected = 'addresses, as in ["mqtts://a:8883", "mqtts://b:8883"]';
  const several = broker.list('urls', [], expected, (text) => text, mostUrls);
  const { url } = broker.optionalTexts({ url: 'url' });
  if (several.length > 0 && url !== undefined) {
    throw invalid('broker.urls', 'is given beside broker.url: keep one of them');
  }
  const [first, ...others] = several.length > 0 ? several : [url ?? broker.text('url')];
  if (first === undefined) throw invalid('broker.urls', `takes a list of ${expected}`);
  const key = several.length > 0 ? 'broker.urls' : 'broker.url';
  for (const one of [first, ...others]) {
    if (!/^(mqtts?:\/\/[^/\s]+\/?|wss?:\/\/\S+)$/i.test(one)) {
      throw invalid(
        key,
        'takes mqtt://host:port, mqtts://host:port, ws://host:port/path or wss://host:port/path',
      );
    }
  }
  const twice = several.find((one, at) => several.indexOf(one) < at);
  if (twice !== undefined) throw invalid(key, `names ${twice} twice`);
  return [first, ...others];
}
