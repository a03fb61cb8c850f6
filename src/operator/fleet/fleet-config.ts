import { parse, TomlError } from 'smol-toml';
import { isAcName, type AcName } from '../../image/appc/index.ts';
import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import { parseBrokerUrl } from '../../wire/mqtt/index.ts';
import { deviceTopics } from '../../wire/report/index.ts';
import { maxRecipients } from '../../wire/trust/index.ts';

/**
 * `fleet.toml`: the settings of a fleet for the operator's tools. Paths are relative to the file.
 */
export interface FleetConfig {
  readonly fleet: AcName;
  readonly broker: {
    readonly url: string;
    readonly version: 4 | 5;
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
    readonly username?: string;
    readonly passwordFile?: string;
  };
  /** Where devices find the files of `images/`; without a slash at the end. */
  readonly imagesUrl: string;
  readonly deploy: {
    /** How long devices accept a signed desired state, in days. */
    readonly validDays: number;
    readonly probationSeconds: number;
    readonly reconnectWindowSeconds: number;
    readonly limits: 'require' | 'best-effort';
    /** Absent: a set under which a device loses its broker is undone. */
    readonly brokerLoss?: 'roll-back' | 'ignore';
  };
  /** By group: the devices to which commands with secrets for it are encrypted. */
  readonly groups: ReadonlyMap<string, readonly AcName[]>;
  /** Where rollouts are kept: `postgres://…`, or a file. */
  readonly rolloutDatabase: string;
}

/** A key of a table: whether a value fits, and the sentence when it does not. */
type Check = readonly [test: (value: unknown) => boolean, expectation: string];

const text: Check = [(value) => typeof value === 'string' && value !== '', 'text'];
const wholeNumber = (min: number, max: number): Check => [
  (value) => Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max,
  `a whole number from ${min} to ${max}`,
];
const oneOf = (...choices: (string | number)[]): Check => [
  (value) => choices.includes(value as string),
  `one of ${choices.join(', ')}`,
];

const isName = (value: unknown): value is AcName =>
  typeof value === 'string' && isAcName(value) && value.length <= 64;

/** The devices of one group. */
const members: Check = [
  (value) =>
    Array.isArray(value) &&
    value.length <= maxRecipients &&
    value.every(isName) &&
    new Set(value).size === value.length,
  `a list of at most ${maxRecipients} different names of devices; make several groups of more`,
];

/** For options of commands that take the same. */
const brokerUrl: Check = [isBrokerUrl, 'mqtt://HOST:PORT, or mqtts, ws or wss; no user, no password'];
const imagesUrl: Check = [isWebAddress, 'an http or https address'];

const schema: Readonly<Record<string, Readonly<Record<string, Check>>>> = {
  '': { fleet: [isName, 'lower-case words with dashes, at most 64 characters'] },
  broker: {
    url: brokerUrl,
    version: oneOf(4, 5),
    ca: text,
    cert: text,
    key: text,
    username: text,
    password_file: text,
  },
  images: { base_url: imagesUrl },
  deploy: {
    valid_days: wholeNumber(1, 36_500),
    probation_seconds: wholeNumber(0, 86_400),
    reconnect_window_seconds: wholeNumber(1, 3600),
    limits: oneOf('require', 'best-effort'),
    broker_loss: oneOf('roll-back', 'ignore'),
  },
  rollouts: {
    database: [
      (value) => typeof value === 'string' && value !== '' && isDatabase(value),
      'a file, or postgres://host/database',
    ],
  },
  // Its keys are names of groups.
  groups: {},
};

const defaults: Readonly<Record<string, unknown>> = {
  'broker.version': 4,
  'deploy.valid_days': 90,
  'deploy.probation_seconds': 30,
  'deploy.reconnect_window_seconds': 60,
  'deploy.limits': 'require',
  'rollouts.database': 'rollouts.db',
};

/**
 * Reads the text of a `fleet.toml`.
 * @throws Refusal `config-invalid`, naming the key and the values that it takes
 */
export function parseFleetConfig(toml: string): FleetConfig {
  const values = checkedValues(toml);
  const required = (key: string): unknown => {
    const value = values.get(key) ?? defaults[key];
    if (value === undefined) throw invalid(`${key} is missing`);
    return value;
  };
  const optional = (name: string, key: string): Record<string, string> => {
    const value = values.get(key);
    return value === undefined ? {} : { [name]: value as string };
  };
  return {
    fleet: required('fleet') as AcName,
    broker: {
      url: required('broker.url') as string,
      version: required('broker.version') as 4 | 5,
      ...optional('ca', 'broker.ca'),
      ...optional('cert', 'broker.cert'),
      ...optional('key', 'broker.key'),
      ...optional('username', 'broker.username'),
      ...optional('passwordFile', 'broker.password_file'),
    },
    imagesUrl: (required('images.base_url') as string).replace(/\/+$/, ''),
    deploy: {
      validDays: required('deploy.valid_days') as number,
      probationSeconds: required('deploy.probation_seconds') as number,
      reconnectWindowSeconds: required('deploy.reconnect_window_seconds') as number,
      limits: required('deploy.limits') as 'require' | 'best-effort',
      ...optional('brokerLoss', 'deploy.broker_loss'),
    },
    groups: new Map(
      [...values].flatMap(([key, value]) =>
        key.startsWith('groups.') ? [[key.slice('groups.'.length), value as readonly AcName[]]] : [],
      ),
    ),
    rolloutDatabase: required('rollouts.database') as string,
  };
}

/** Every value by its dotted key, each checked against the schema. */
function checkedValues(toml: string): ReadonlyMap<string, unknown> {
  let root: Record<string, unknown>;
  try {
    root = parse(toml);
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    throw invalid(`line ${cause.line}: ${cause.message.split('\n')[0] ?? ''}`, cause);
  }
  const values = new Map<string, unknown>();
  const take = (table: string, entries: Record<string, unknown>) => {
    for (const [name, value] of Object.entries(entries)) {
      const key = table === '' ? name : `${table}.${name}`;
      const nested = table === '' ? schema[name] : undefined;
      const check = table === 'groups' && isName(name) ? members : schema[table]?.[name];
      if (nested !== undefined && name !== '' && typeof value === 'object' && value !== null) {
        take(name, value as Record<string, unknown>);
      } else if (check === undefined) {
        throw invalid(`${key} is not known`);
      } else if (check[0](value)) {
        values.set(key, value);
      } else {
        throw invalid(`${key} takes ${check[1]}`);
      }
    }
  };
  take('', root);
  return values;
}

/** What `fleet.toml` of a new fleet must contain. */
export interface NewFleetConfig {
  readonly fleet: string;
  readonly brokerUrl: string;
  readonly imagesUrl: string;
}

/**
 * A new `fleet.toml` with every default spelled out in a comment.
 * @throws Refusal `input-invalid` for the name of a fleet, `usage` for an address
 */
export function fleetConfigText(options: NewFleetConfig): string {
  deviceTopics(options.fleet, 'any');
  requireBrokerUrl('--broker', options.brokerUrl);
  requireImagesUrl('--images', options.imagesUrl);
  return `# An operator's view of a fleet; wherry-operator(1) explains each key.
fleet = ${JSON.stringify(options.fleet)}

[broker]
url = ${JSON.stringify(options.brokerUrl)}
# version = 4                # 5 for MQTT 5
# ca = "broker-ca.pem"       # default: the certificates that Node knows
# cert = "operator.pem"
# key = "operator.key"
# username = "operator"
# password_file = "broker-password"

[images]
# Where devices find the files of images/: \`wherry dev\`, or any static web server with Range support.
base_url = ${JSON.stringify(options.imagesUrl)}

[deploy]
# valid_days = 90            # a device that was away for longer refuses the command
# probation_seconds = 30     # pods must stay healthy for this long, or the device rolls back
# reconnect_window_seconds = 60   # spread of reconnects; 300 for 100 000 devices
# limits = "require"         # "best-effort" runs pods even if a limit cannot be enforced
# broker_loss = "roll-back"  # "ignore" keeps pods under which a device loses its broker

[groups]
# Which devices the secrets of a group are encrypted to.
# kitchen = ["crane-7", "crane-8"]

[rollouts]
# database = "rollouts.db"   # a SQLite file, or postgres://host/database for several controllers
`;
}

function isBrokerUrl(value: unknown): boolean {
  if (typeof value !== 'string') return false;
  try {
    parseBrokerUrl(value);
    return true;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return false;
  }
}

/** Whether rollouts can be kept there: a file, whose name has no scheme, or PostgreSQL. */
export function isDatabase(address: string): boolean {
  // libpq knows an address without a host behind the user, and URL does not.
  if (/^postgres(ql)?:\/\//.test(address)) return URL.canParse(address.replace('@/', '@localhost/'));
  return !/^(?:[a-z][a-z0-9+.-]*:\/\/|postgres(?:ql)?:|file:)/i.test(address);
}

/** The address of images, as an option gives it. @throws Refusal `usage` */
export function requireImagesUrl(option: string, value: string): void {
  const [test, takes] = imagesUrl;
  if (!test(value)) throw new Refusal('usage', `${option} takes ${takes}`);
}

/** The address of a broker, as an option gives it. @throws Refusal `usage` */
export function requireBrokerUrl(option: string, value: string): void {
  const [test, takes] = brokerUrl;
  if (!test(value)) throw new Refusal('usage', `${option} takes ${takes}`);
}

function isWebAddress(value: unknown): boolean {
  return typeof value === 'string' && URL.canParse(value) && /^https?:$/.test(new URL(value).protocol);
}

function invalid(problem: string, cause?: unknown): Refusal {
  return new Refusal('config-invalid', `fleet.toml: ${problem}`, { cause });
}
