import { isIPv4 } from 'node:net';
import { validate } from 'node-cron';
import { parse, TomlError } from 'smol-toml';
import { type AcName, isAcName } from '../../image/appc/index.ts';
import type { ProxySettings } from '../../wire/http/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { isSubnet6 } from '../network/index.ts';
import type { AllowList } from '../pod/index.ts';
import { readAllowList } from './allow-config.ts';
import { type BrokerConfig, readBroker } from './broker-config.ts';
import { invalid, Table } from './config-table.ts';

/** `/etc/wherry/wherry.toml` after checking; wherry.toml(5) explains each key. */
export interface Config {
  readonly fleet: AcName;
  readonly device: AcName;
  /** Groups whose commands the device also obeys; the first has precedence. At most 4. */
  readonly groups: readonly AcName[];
  /** For filters of lists; they decide nothing. At most 16. */
  readonly labels: Readonly<Record<string, string>>;
  readonly broker: BrokerConfig;
  readonly limits: {
    /** Largest uncompressed image. */
    readonly maxImageBytes: number;
    /** Kept free on the file system of /var/lib/wherry. */
    readonly reserveBytes: number;
    /** A slower download is aborted. */
    readonly minBytesPerSecond: number;
  };
  readonly download: {
    /** The proxy for images; without it, the environment of the pull unit decides. */
    readonly proxy?: ProxySettings;
    /** The highest rate of a download; 0 is unlimited. */
    readonly maxBytesPerSecond: number;
  };
  readonly network: {
    /** Whether pods may use the host's network. */
    readonly allowHost: boolean;
    /** The network of a pod that names none. */
    readonly whenUnsaid: string;
    /** Addresses of the network `bridge`. */
    readonly subnet: string;
    readonly subnet6?: string;
  };
  /**
   * Pods whose logs are sent on a signed request; `*` is every pod. An empty list turns requests
   * off.
   */
  readonly remoteLogPods: readonly string[];
  readonly api: {
    /** The group whose members may use the local API; without it, only root may. */
    readonly group?: string;
    /** Whether the local API runs programs in apps. */
    readonly exec: boolean;
  };
  /** What pods may have. */
  readonly allow: AllowList;
  readonly store: { readonly compression: 'none' | 'lz4' };
  /** Seconds between two readings of telemetry; 0 sends none. */
  readonly telemetrySeconds: number;
  /** cron expressions in local time (node-cron). */
  readonly reportSchedule: string;
  readonly gcSchedule: string;
}

/**
 * Reads the configuration. Unknown keys are refused, so that a typo cannot silently leave a default
 * in force.
 *
 * @throws {Refusal} config-invalid, naming the key and what it accepts.
 */
export function parseConfig(text: string): Config {
  const root = new Table(parseToml(text), '');
  const broker = root.table('broker');
  const limits = root.table('limits');
  const download = root.table('download');
  const network = root.table('network');
  const allow = root.table('allow');
  const store = root.table('store');
  const api = root.table('api');
  const logs = root.table('logs');
  const report = root.table('report');
  const gc = root.table('gc');
  const telemetry = root.table('telemetry');
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
    remoteLogPods: logs.list('remote_pods', [], 'names of pods, or ["*"] for all', toPodName, maxRemotePods),
    api: readApi(api),
    allow: readAllowList(allow),
    store: { compression: store.oneOf('compression', ['none', 'lz4'], 'none') },
    telemetrySeconds: readTelemetry(telemetry),
    reportSchedule: readSchedule('report', report, '*/5 * * * *'),
    gcSchedule: readSchedule('gc', gc, '17 3 * * *'),
  };
  for (const table of [
    root,
    broker,
    limits,
    download,
    network,
    allow,
    store,
    api,
    logs,
    report,
    gc,
    telemetry,
  ])
    table.refuseLeftovers();
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

/** So many leave room for the device's own topics among the eight that every broker accepts. */
const maxGroups = 4;
const maxLabels = 16;
const maxRemotePods = 16;

function toPodName(name: string): string | undefined {
  return name === '*' || (isAcName(name) && name.length <= 64) ? name : undefined;
}

function readGroups(root: Table): readonly AcName[] {
  const expected = 'different AC Names of at most 64 characters, as in ["kitchen", "floor-2"]';
  const toName = (name: string): AcName | undefined =>
    isAcName(name) && name.length <= 64 ? name : undefined;
  const groups = root.list('groups', [], expected, toName, maxGroups);
  if (new Set(groups).size === groups.length) return groups;
  throw invalid('groups', `takes a list of at most ${maxGroups} ${expected}`);
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

function readSchedule(name: string, table: Table, usual: string): string {
  const expression = table.text('schedule', usual);
  if (validate(expression)) return expression;
  throw invalid(`${name}.schedule`, `is not a cron expression: ${expression}`);
}

function readTelemetry(telemetry: Table): number {
  const seconds = telemetry.integer('interval_seconds', 0, 86_400, 0);
  if (seconds > 0 && seconds < 10) {
    throw invalid('telemetry.interval_seconds', 'takes 0 or a whole number from 10 to 86400');
  }
  return seconds;
}

function readDownload(download: Table): Config['download'] {
  const { proxy } = download.optionalTexts({ proxy: 'proxy' });
  const noProxy = download.list('no_proxy', [], 'hosts, as in ["intranet.example", ".local"]', (text) =>
    /^[^\s,]{1,256}$/.test(text) ? text : undefined,
  );
  const maxBytesPerSecond = download.integer('max_bytes_per_second', 0, 2 ** 30, 0);
  if (proxy === undefined) {
    if (noProxy.length > 0) throw invalid('download.no_proxy', 'has no effect without download.proxy');
    return { maxBytesPerSecond };
  }
  const url = URL.canParse(proxy) ? new URL(proxy) : undefined;
  // The message does not quote it: it may hold a password.
  if (url !== undefined && (url.username !== '' || url.password !== '')) {
    throw invalid('download.proxy', 'takes no user and password; put them into /etc/wherry/credentials.toml');
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
  const { subnet6 } = network.optionalTexts({ subnet6: 'subnet6' });
  if (subnet6 !== undefined && !isSubnet6(subnet6)) {
    throw invalid('network.subnet6', 'takes an IPv6 network such as "fd5c:17e0:9b3a::/64"');
  }
  return { allowHost, whenUnsaid, subnet, ...(subnet6 === undefined ? {} : { subnet6 }) };
}

function readApi(api: Table): Config['api'] {
  const { group } = api.optionalTexts({ group: 'group' });
  const exec = api.flag('exec', false);
  if (group === undefined) return { exec };
  // What useradd(8) accepts.
  if (!/^[a-z_][a-z0-9_-]{0,31}$/.test(group)) {
    throw invalid('api.group', 'takes the name of a group such as "operators"');
  }
  return { group, exec };
}

/** `a.b.c.d/prefix` with no bit set after the prefix. */
function isSubnet(text: string): boolean {
  const [address = '', prefix = ''] = text.split('/');
  if (!isIPv4(address) || !/^(1[6-9]|2[0-9]|30)$/.test(prefix) || text.split('/').length !== 2) return false;
  const bits = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  return bits % 2 ** (32 - Number(prefix)) === 0;
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
