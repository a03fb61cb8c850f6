/**
 * Text of unit files. This is the defence against injection: a directive consists of a key of the
 * table below and a value that its kind has escaped, so no value ever becomes a second directive, a
 * specifier, a variable or a command prefix.
 */

/** How the value of a directive is written, and what it may contain. */
type Kind =
  | 'text' // a sentence; one line
  | 'path' // an absolute path
  | 'absent-path' // the same; the condition that it does not exist
  | 'paths' // several, each of any characters
  | 'units' // unit names, space-separated
  | 'fields' // NAME=value words, one line each
  | 'credentials' // NAME:PATH, one line each; a name of letters, digits and `-`, and a path of wherry's
  | 'token' // letters, digits and `.:_/,=+-`, which systemd reads without unquoting
  | 'devices' // paths below /dev of letters, digits and `._:+@=-`, each with `r` or `rw`, one line each
  | 'device-limits' // paths of file systems, and a number for the device of each
  | 'tokens' // several, space-separated
  | 'token-lines' // several, one line each
  | 'calendars' // expressions of systemd.time(7), one line each
  | 'number'
  | 'percent' // `50%` or `12.5%`: no specifiers are expanded in it
  | 'yes-no'
  | 'command' // executed without a shell
  | 'tolerated-command'; // the same; a failure is ignored

/** All directives that wherry writes. Section → key → kind. */
const directives = {
  Unit: {
    Description: 'text',
    DefaultDependencies: 'yes-no',
    Requires: 'units',
    Wants: 'units',
    BindsTo: 'units',
    PartOf: 'units',
    After: 'units',
    Before: 'units',
    Conflicts: 'units',
    RequiresMountsFor: 'paths',
    ConditionPathExists: 'absent-path',
    StopWhenUnneeded: 'yes-no',
    CollectMode: 'token',
    StartLimitIntervalSec: 'number',
    StartLimitBurst: 'number',
  },
  Socket: {
    ListenStream: 'token-lines',
    ListenDatagram: 'token-lines',
    BindIPv6Only: 'token',
    NetworkNamespacePath: 'path',
    TriggerLimitIntervalSec: 'number',
    PollLimitIntervalSec: 'number',
    PollLimitBurst: 'number',
    Service: 'units',
  },
  Timer: { OnCalendar: 'calendars', Persistent: 'yes-no', AccuracySec: 'number', Unit: 'units' },
  Mount: { What: 'path', Where: 'path', Type: 'token', Options: 'token' },
  Slice: {},
  Service: {
    Type: 'token',
    NotifyAccess: 'token',
    WatchdogSec: 'number',
    WatchdogSignal: 'token',
    GuessMainPID: 'yes-no',
    RemainAfterExit: 'yes-no',
    RuntimeDirectory: 'tokens',
    RuntimeDirectoryMode: 'token',
    LoadCredentialEncrypted: 'credentials',
    Environment: 'fields',
    ExecStartPre: 'command',
    ExecStart: 'command',
    ExecStartPost: 'command',
    ExecStop: 'tolerated-command',
    ExecStopPost: 'tolerated-command',
    Restart: 'token',
    RestartMode: 'token',
    RestartSec: 'number',
    RestartSteps: 'number',
    RestartMaxDelaySec: 'number',
    TimeoutStartSec: 'number',
    TimeoutStopSec: 'number',
    TimeoutStopFailureMode: 'token',
    KillMode: 'token',
    KillSignal: 'token',
    SuccessExitStatus: 'token',
    OOMPolicy: 'token',
    DevicePolicy: 'token',
    DeviceAllow: 'devices',
    CapabilityBoundingSet: 'tokens',
    Slice: 'units',
    UMask: 'token',
    StandardInput: 'token',
    StandardOutput: 'token',
    StandardError: 'token',
    SyslogIdentifier: 'token',
    LogExtraFields: 'fields',
    LogLevelMax: 'token',
    LogRateLimitIntervalSec: 'number',
    LogRateLimitBurst: 'number',
  },
  Install: { WantedBy: 'units' },
} as const satisfies Record<string, Record<string, Kind>>;

/** systemd.resource-control(5); the same keys bound a pod's slice and an app's service. */
const limits = {
  MemoryMax: 'number',
  MemorySwapMax: 'number',
  MemoryLow: 'number',
  CPUQuota: 'percent',
  CPUWeight: 'number',
  TasksMax: 'number',
  IOReadBandwidthMax: 'device-limits',
  IOWriteBandwidthMax: 'device-limits',
  IOReadIOPSMax: 'device-limits',
  IOWriteIOPSMax: 'device-limits',
} as const satisfies Record<string, Kind>;

interface ValueOf {
  readonly text: string;
  readonly path: string;
  readonly 'absent-path': string;
  readonly paths: readonly string[];
  readonly units: readonly string[];
  readonly fields: Readonly<Record<string, string>>;
  readonly credentials: readonly string[];
  readonly token: string;
  readonly tokens: readonly string[];
  readonly 'token-lines': readonly string[];
  readonly calendars: readonly string[];
  readonly devices: readonly { readonly path: string; readonly access: 'r' | 'rw' }[];
  readonly 'device-limits': { readonly paths: readonly string[]; readonly limit: number | bigint };
  readonly number: number | bigint;
  readonly percent: string;
  readonly 'yes-no': boolean;
  /** Commands with their arguments; the first word is an absolute path. */
  readonly command: readonly (readonly string[])[];
  readonly 'tolerated-command': readonly (readonly string[])[];
}

type Section<Keys extends Record<string, Kind>> = { readonly [Key in keyof Keys]?: ValueOf[Keys[Key]] };

/**
 * Limits of a service or a slice. Bytes, bytes per second, operations per second, tasks; CPUQuota
 * is a percentage.
 */
export type ResourceLimits = Section<typeof limits>;

/** A unit file. Sections and keys are written in the order of the object. */
export interface UnitDescription {
  readonly Unit: Section<typeof directives.Unit>;
  readonly Socket?: Section<typeof directives.Socket>;
  readonly Timer?: Section<typeof directives.Timer>;
  readonly Mount?: Section<typeof directives.Mount>;
  readonly Slice?: ResourceLimits;
  readonly Service?: Section<typeof directives.Service> & ResourceLimits;
  readonly Install?: Section<typeof directives.Install>;
}

const kindsOf: Readonly<Record<string, Readonly<Record<string, Kind>>>> = {
  Unit: directives.Unit,
  Socket: directives.Socket,
  Timer: directives.Timer,
  Mount: directives.Mount,
  Slice: limits,
  Service: { ...directives.Service, ...limits },
  Install: directives.Install,
};

/**
 * The text of a unit file.
 * @throws Error for a key that is not in the table or a value that its kind cannot express: a bug,
 *   since the caller has checked names and numbers
 */
export function unitText(unit: UnitDescription): string {
  const sections = Object.entries(unit).map(([section, values]: [string, object | undefined]) => {
    const kinds = kindsOf[section];
    if (kinds === undefined) throw new Error(`no such section of a unit: ${JSON.stringify(section)}`);
    const lines = Object.entries(values ?? {}).flatMap(([key, value]: [string, unknown]) => {
      const kind = Object.hasOwn(kinds, key) ? kinds[key] : undefined;
      if (kind === undefined) throw new Error(`not a directive of [${section}]: ${JSON.stringify(key)}`);
      if (value === undefined) return [];
      // UnitDescription has already given the value the type of the key's kind.
      return (write[kind] as (value: unknown) => readonly string[])(value).map((text) => `${key}=${text}`);
    });
    return [`[${section}]`, ...lines].join('\n') + '\n';
  });
  return sections.join('\n');
}

/** Kind → lines of values. */
const write: { readonly [K in Kind]: (value: ValueOf[K]) => readonly string[] } = {
  text: (value) => [plain(value)],
  path: (value) => [pathText(value)],
  'absent-path': (value) => [`!${pathText(value)}`],
  paths: (value) => value.map(pathWord),
  units: (value) => (value.length === 0 ? [] : [value.map(unitName).join(' ')]),
  fields: (value) => Object.entries(value).map(([name, text]) => quoteWord(`${fieldName(name)}=${text}`)),
  credentials: (value) => value.map((text) => matching(/^[a-z0-9-]+:\/[A-Za-z0-9._/-]+$/, text)),
  token: (value) => [token(value)],
  tokens: (value) => [value.map(token).join(' ')],
  'token-lines': (value) => value.map(token),
  calendars: (value) =>
    value.map((text) => matching(/^[A-Za-z0-9*@](?:[A-Za-z0-9*@:,./~_+ -]*[A-Za-z0-9*@:,./~_+-])?$/, text)),
  percent: (value) => [matching(/^[0-9]+(?:\.[0-9]{1,2})?%$/, value)],
  devices: (value) =>
    value.map(({ path, access }) => `${matching(/^\/dev\/[A-Za-z0-9._:+@=/-]+$/, path)} ${access}`),
  'device-limits': ({ paths, limit }) =>
    paths.map((path) => `${quoteWord(matching(/^\//, path))} ${wholeNumber(limit)}`),
  number: (value) => [wholeNumber(value)],
  'yes-no': (value) => [value ? 'yes' : 'no'],
  command: (value) => value.map(commandLine),
  'tolerated-command': (value) => value.map((words) => `-${commandLine(words)}`),
};

/** `%` would start a specifier (systemd.unit(5), SPECIFIERS). */
function specifiers(value: string): string {
  return value.replaceAll('%', '%%');
}

/**
 * A value that systemd reads to the end of the line: no control characters, no continuation, no
 * space that it would strip.
 */
function plain(value: string): string {
  if (/[\u0000-\u001f\u007f\p{Surrogate}]|^\s|\s$|\\$|^$/u.test(value)) {
    throw new Error(`not a value for one line of a unit: ${JSON.stringify(value)}`);
  }
  return specifiers(value);
}

function pathText(value: string): string {
  return plain(matching(/^\/[^"'\\]*$/, value));
}

/**
 * A path of RequiresMountsFor= (systemd.unit(5)), which removes quotes but keeps backslashes as
 * they are. A part that cannot be written is cut off with everything below it: the unit then
 * requires only the mounts of the rest.
 */
function pathWord(value: string): string {
  const path = matching(/^\//, value);
  const unwritable = /[\u0000-\u001f\u007f\p{Surrogate}\\]|"(?=.*')|'(?=.*")/su.exec(path);
  const kept = unwritable === null ? path : path.slice(0, path.lastIndexOf('/', unwritable.index)) || '/';
  const quote = /[\s"';#]/u.test(kept) ? (kept.includes('"') ? "'" : '"') : '';
  return specifiers(`${quote}${kept}${quote}`);
}

function matching(pattern: RegExp, value: string): string {
  if (!pattern.test(value)) throw new Error(`not a value for a unit: ${JSON.stringify(value)}`);
  return value;
}

/** Names of units contain `\x2d`, which is not unquoted in lists of units. */
function unitName(name: string): string {
  return specifiers(
    matching(/^[A-Za-z0-9:_.\\@-]{1,249}\.(?:service|slice|mount|socket|target|timer)$/, name),
  );
}

function token(value: string): string {
  return matching(/^[A-Za-z0-9][A-Za-z0-9.:_/,=+-]*$/, value);
}

function fieldName(name: string): string {
  return matching(/^[A-Z][A-Z0-9_]*$/, name);
}

function wholeNumber(value: number | bigint): string {
  if (value < 0 || (typeof value === 'number' && !Number.isSafeInteger(value))) {
    throw new Error(`not a whole number for a unit: ${value}`);
  }
  return String(value);
}

/**
 * A word in double quotes (systemd.syntax(7), "Quoting"): escapes are decoded inside them, and
 * nothing ends the word but the closing quote.
 */
function quoteWord(word: string): string {
  if (/\p{Surrogate}|\0/u.test(word)) {
    throw new Error(`cannot be a word in a unit: ${JSON.stringify(word)}`);
  }
  const escaped = specifiers(word)
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replace(/[\u0001-\u001f\u007f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return `"${escaped}"`;
}

/**
 * A command line (systemd.service(5), COMMAND LINES). The program is a plain absolute path, since
 * systemd reads prefixes (`-@:+!`) from its first word even when that is quoted, and expands
 * specifiers but no `$$` there.
 */
function commandLine([program, ...args]: readonly string[]): string {
  const path = matching(/^\/[A-Za-z0-9._/+-]+$/, program ?? '');
  return [path, ...args.map((arg) => quoteWord(arg).replaceAll('$', '$$$$'))].join(' ');
}
