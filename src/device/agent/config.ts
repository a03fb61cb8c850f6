import { isIPv4 } from 'node:net';
import { parse, TomlError } from 'smol-toml';
import { type AcName, isAcName, parseAcName } from '../../image/appc/index.ts';
import type { ProxySettings } from '../../wire/http/index.ts';
import { Refusal } from '../../core/refusal/index.ts';

/** `/etc/wherry/wherry.toml` after checking; wherry.toml(5) explains each key. */
export interface Config {
  readonly fleet: AcName;
  readonly device: AcName;
  /** Whose commands the device obeys, too; the first goes first. At most 4. */
  readonly groups: readonly AcName[];
  /** For filters of lists; nothing is decided by them. At most 16. */
  readonly labels: Readonly<Record<string, string>>;
  readonly broker: BrokerConfig;
  readonly limits: {
    /** Largest uncompressed image. */
    readonly maxImageBytes: number;
    /** Kept free on the file system of /var/lib/wherry. */
    readonly reserveBytes: number;
    /** A slower download is given up. */
    readonly minBytesPerSecond: number;
  };
  readonly download: {
    /** Through which images are downloaded; else what the environment of the pull unit says. */
    readonly proxy?: ProxySettings;
    /** Not faster than this; 0 is as fast as it comes. */
    readonly maxBytesPerSecond: number;
  };
  readonly network: {
    /** Whether pods may use the host's network. */
    readonly allowHost: boolean;
    /** The network of a pod that names none. */
    readonly whenUnsaid: string;
    /** Addresses of the network `bridge`. */
    readonly subnet: string;
  };
  readonly store: { readonly compression: 'none' | 'lz4' };
  /** cron expressions in local time (node-cron). */
  readonly reportSchedule: string;
  readonly gcSchedule: string;
}

export interface BrokerConfig {
  readonly url: string;
  /** MQTT protocol level: 4 is 3.1.1. */
  readonly version: 4 | 5;
  /** Paths of PEM files. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly username?: string;
  readonly passwordFile?: string;
  /**
   * After a boot the first connection waits up to this long, so that a site's devices do not come
   * back as one.
   */
  readonly bootSpreadSeconds: number;
}

/**
 * Reads the configuration. Unknown keys are refused, so that a typo cannot silently leave a default
 * in force.
 *
 * @throws {Refusal} config-invalid, naming the key and what it takes.
 */
export function parseConfig(text: string): Config {
  const root = new Table(parseToml(text), '');
  const broker = root.table('broker');
  const limits = root.table('limits');
  const download = root.table('download');
  const network = root.table('network');
  const store = root.table('store');
  const report = root.table('report');
  const gc = root.table('gc');
  const config: Config = {
    fleet: root.name('fleet'),
    device: root.name('device'),
    groups: readGroups(root),
    labels: readLabels(root),
    broker: readBroker(broker),
    limits: {
      maxImageBytes: limits.integer('max_image_bytes', 1 << 20, 2 ** 40, 2 * 2 ** 30),
      reserveBytes: limits.integer('reserve_bytes', 0, 2 ** 40, 32 << 20),
      minBytesPerSecond: limits.integer('min_bytes_per_second', 0, 2 ** 30, 1024),
    },
    download: readDownload(download),
    network: readNetwork(network),
    store: { compression: store.oneOf('compression', ['none', 'lz4'], 'none') },
    reportSchedule: report.text('schedule', '*/5 * * * *'),
    gcSchedule: gc.text('schedule', '17 3 * * *'),
  };
  for (const table of [root, broker, limits, download, network, store, report, gc]) table.refuseLeftovers();
  const { maxBytesPerSecond } = config.download;
  const { minBytesPerSecond } = config.limits;
  if (maxBytesPerSecond !== 0 && maxBytesPerSecond < minBytesPerSecond) {
    throw invalid(
      'download.max_bytes_per_second',
      `is ${maxBytesPerSecond}, below limits.min_bytes_per_second, which is ${minBytesPerSecond}: lower that, or no download would be fast enough`,
    );
  }
  return config;
}

/** As many as leave room for the topics of the device in the eight that every broker takes. */
const maxGroups = 4;
const maxLabels = 16;

function readGroups(root: Table): readonly AcName[] {
  const names = root.texts(
    'groups',
    `at most ${maxGroups} different AC Names such as ["kitchen", "floor-2"]`,
  );
  const groups = names.filter((name): name is AcName => isAcName(name) && name.length <= 64);
  if (groups.length === names.length && new Set(names).size === names.length && names.length <= maxGroups)
    return groups;
  throw invalid('groups', `takes a list of at most ${maxGroups} different AC Names of at most 64 characters`);
}

function readLabels(root: Table): Readonly<Record<string, string>> {
  const labels = Object.entries(root.table('labels').rest());
  const isText = (value: unknown): value is string =>
    typeof value === 'string' && /^[^\p{C}]{1,64}$/u.test(value);
  const texts = labels.flatMap(([name, value]) =>
    isAcName(name) && name.length <= 64 && isText(value) ? [[name, value] as const] : [],
  );
  if (texts.length === labels.length && texts.length <= maxLabels) return Object.fromEntries(texts);
  throw invalid(
    'labels',
    `is a table of at most ${maxLabels} AC Names with texts of 1 to 64 characters, as in labels = { site = "pier 4" }`,
  );
}

function readDownload(download: Table): Config['download'] {
  const { proxy } = download.optionalTexts({ proxy: 'proxy' });
  const noProxy = download.texts('no_proxy');
  const maxBytesPerSecond = download.integer('max_bytes_per_second', 0, 2 ** 30, 0);
  if (proxy === undefined) {
    if (noProxy.length > 0) throw invalid('download.no_proxy', 'says nothing without download.proxy');
    return { maxBytesPerSecond };
  }
  const url = URL.canParse(proxy) ? new URL(proxy) : undefined;
  // Not quoted: it may hold a password.
  if (url !== undefined && (url.username !== '' || url.password !== '')) {
    throw invalid(
      'download.proxy',
      'takes no user and password; they belong into /etc/wherry/credentials.toml',
    );
  }
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.href !== `${url.origin}/`) {
    throw invalid('download.proxy', 'takes http://host:port or https://host:port');
  }
  return { proxy: { url: url.origin, noProxy }, maxBytesPerSecond };
}

function readNetwork(network: Table): Config['network'] {
  const allowHost = network.flag('allow_host', true);
  const whenUnsaid = network.name('default', 'host');
  if (whenUnsaid === 'host' && !allowHost) {
    throw invalid(
      'network.default',
      'is host, which network.allow_host forbids: set it to "bridge" or "none"',
    );
  }
  const subnet = network.text('subnet', '10.173.0.0/24');
  if (!isSubnet(subnet)) {
    throw invalid('network.subnet', 'takes an IPv4 network of 4 to 65536 addresses such as "10.173.0.0/24"');
  }
  return { allowHost, whenUnsaid, subnet };
}

/** `a.b.c.d/prefix` with no bit set behind the prefix. */
function isSubnet(text: string): boolean {
  const [address = '', prefix = ''] = text.split('/');
  if (!isIPv4(address) || !/^(1[6-9]|2[0-9]|30)$/.test(prefix) || text.split('/').length !== 2) return false;
  const bits = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  return bits % 2 ** (32 - Number(prefix)) === 0;
}

function readBroker(broker: Table): BrokerConfig {
  const url = broker.text('url');
  if (!/^mqtts?:\/\/[^/\s]+$/.test(url)) {
    throw invalid('broker.url', 'takes mqtt://host:port or mqtts://host:port');
  }
  return {
    url,
    version: broker.oneOf('version', [4, 5], 4),
    ...broker.optionalTexts({
      ca: 'ca',
      cert: 'cert',
      key: 'key',
      username: 'username',
      password_file: 'passwordFile',
    }),
    bootSpreadSeconds: broker.integer('boot_spread_seconds', 0, 3600, 30),
  };
}

function parseToml(text: string): Record<string, unknown> {
  try {
    return parse(text);
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    throw new Refusal('config-invalid', `wherry.toml line ${cause.line}: ${cause.message.split('\n')[0]}`, {
      cause,
    });
  }
}

function invalid(key: string, expectation: string): Refusal {
  return new Refusal('config-invalid', `wherry.toml: ${key} ${expectation}`);
}

/** A TOML table whose keys are taken one by one; what is left over at the end is unknown. */
class Table {
  private readonly values: Map<string, unknown>;
  private readonly prefix: string;

  constructor(values: Record<string, unknown>, prefix: string) {
    this.values = new Map(Object.entries(values));
    this.prefix = prefix;
  }

  table(key: string): Table {
    const value = this.take(key) ?? {};
    if (typeof value !== 'object' || Array.isArray(value)) throw invalid(this.path(key), 'is a table');
    return new Table(value as Record<string, unknown>, `${this.path(key)}.`);
  }

  name(key: string, fallback?: string): AcName {
    try {
      return parseAcName(this.text(key, fallback));
    } catch (cause) {
      throw new Refusal(
        'config-invalid',
        `wherry.toml: ${this.path(key)} takes an AC Name such as "gate-17" (a-z, 0-9, single dashes)`,
        { cause },
      );
    }
  }

  text(key: string, fallback?: string): string {
    const value = this.take(key) ?? fallback;
    if (typeof value !== 'string' || value === '')
      throw invalid(this.path(key), 'takes text and must be given');
    return value;
  }

  /** A list of words; absent is empty. */
  texts(
    key: string,
    expectation = 'at most 64 hosts, as in ["intranet.example", ".local"]',
  ): readonly string[] {
    const value = this.take(key) ?? [];
    const isWord = (one: unknown): one is string => typeof one === 'string' && /^[^\s,]{1,256}$/.test(one);
    if (!Array.isArray(value) || value.length > 64 || !value.every(isWord))
      throw invalid(this.path(key), `takes a list of ${expectation}`);
    return value;
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.take(key) ?? fallback;
    if (typeof value !== 'boolean') throw invalid(this.path(key), 'takes true or false');
    return value;
  }

  integer(key: string, min: number, max: number, fallback: number): number {
    const value = this.take(key) ?? fallback;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
      throw invalid(this.path(key), `takes a whole number from ${min} to ${max}`);
    }
    return value;
  }

  oneOf<const T extends string | number>(key: string, choices: readonly T[], fallback: T): T {
    const value = this.take(key) ?? fallback;
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw invalid(this.path(key), `takes one of ${choices.join(', ')}`);
    return found;
  }

  /** Text keys that may be absent, under the names that they have in the result. */
  optionalTexts<Name extends string>(names: Readonly<Record<string, Name>>): Partial<Record<Name, string>> {
    const result: Partial<Record<Name, string>> = {};
    for (const [key, name] of Object.entries(names)) {
      if (this.values.has(key)) result[name] = this.text(key);
    }
    return result;
  }

  /** What was not taken yet, whatever its keys. */
  rest(): Readonly<Record<string, unknown>> {
    return Object.fromEntries(this.values);
  }

  refuseLeftovers(): void {
    const [key] = this.values.keys();
    if (key !== undefined) throw invalid(this.path(key), 'is not a known key');
  }

  private take(key: string): unknown {
    const value = this.values.get(key);
    this.values.delete(key);
    return value;
  }

  private path(key: string): string {
    return `${this.prefix}${key}`;
  }
}
