import { isAcName, labelValue, parseQuantity, wholeUnits, type NameValue } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import {
  parseExecProbe,
  parseHttpProbe,
  parseTcpProbe,
  type ProbeAction,
  type ProbeRules,
  usualRules,
} from './probe.ts';
import { parseSecretUses, type SecretUse } from './secrets.ts';

/**
 * Settings that the specification leaves open and annotations `wherry/…` of an app decide. The
 * pod's manifest overrides the image's.
 */
export interface AppSettings {
  readonly restart: 'no' | 'on-failure' | 'always';
  /** Whether it runs to its end, which must be a success. */
  readonly once: boolean;
  /**
   * Whether the app reports by sd_notify(3) that it is ready. Then `watchdogSeconds` may limit the
   * time between two of its keep-alive notifications.
   */
  readonly notify: boolean;
  readonly watchdogSeconds?: number;
  /** Apps of the pod that it waits for. */
  readonly after: readonly string[];
  /** Seconds that its start may take; for an app that runs once, its whole run. */
  readonly startTimeoutSeconds: number;
  /** The signal that stops the app. */
  readonly stopSignal: string;
  /** Seconds from that signal to SIGKILL. */
  readonly stopTimeoutSeconds: number;
  /** The most bytes of the writable layer in memory; or it is on the disk, without a limit. */
  readonly layer: bigint | 'disk';
  readonly probe?: { readonly action: ProbeAction; readonly rules: ProbeRules };
  readonly secrets: readonly SecretUse[];
  /** The signal after which it reads new values of its secrets; absent: they restart it. */
  readonly secretsSignal?: string;
}

interface Setting<T> {
  readonly annotation: string;
  readonly otherwise: T;
  readonly expected: string;
  /** Undefined for a value that is not acceptable. */
  readonly read: (value: string) => T | undefined;
}

const restart: Setting<AppSettings['restart']> = {
  annotation: 'wherry/restart',
  otherwise: 'always',
  expected: '"no", "on-failure" or "always"',
  read: (value) => (value === 'no' || value === 'on-failure' || value === 'always' ? value : undefined),
};

const once = flag('wherry/once');

const notify = flag('appc.io/executor/supports-systemd-notify');

const after: Setting<readonly string[]> = {
  annotation: 'wherry/after',
  otherwise: [],
  expected: 'names of apps of the pod, such as "db,setup"',
  read: (value) => {
    const names = value.split(',').map((name) => name.trim());
    return names.every(isAcName) ? names : undefined;
  },
};

const stopTimeout = wholeNumber('wherry/stop-timeout', 10, [1, 3600]);

function readSignal(value: string): string | undefined {
  return /^SIG(TERM|INT|QUIT|HUP|KILL|USR1|USR2|WINCH|ABRT|PWR|RTMIN(\+([1-9]|[12][0-9]|30))?)$/.test(value)
    ? value
    : undefined;
}

const stopSignal: Setting<string> = {
  annotation: 'wherry/stop-signal',
  otherwise: 'SIGTERM',
  expected: 'a signal such as "SIGQUIT"',
  read: readSignal,
};

const minLayerBytes = 1n << 16n;
const maxLayerBytes = 1n << 40n;

const layer: Setting<bigint | 'disk'> = {
  annotation: 'wherry/layer-size',
  otherwise: 64n << 20n,
  expected: 'an amount of memory from 64Ki to 1Ti, such as "64Mi", or "disk"',
  read: (value) => {
    if (value === 'disk') return value;
    const bytes = wholeUnits(parseQuantity(value));
    return bytes >= minLayerBytes && bytes <= maxLayerBytes ? bytes : undefined;
  },
};

const startTimeout = wholeNumber('wherry/start-timeout', 90, [1, 86_400]);

const watchdog = wholeNumber('wherry/watchdog', undefined, [1, 3600]);

type ProbeSetting = Setting<ProbeAction | undefined>;

/** An app has one probe: which of these annotations it has decides the kind. */
const probeActions: readonly ProbeSetting[] = [
  {
    annotation: 'wherry/probe-http',
    otherwise: undefined,
    expected: 'a port and a path, such as "8080/healthz"',
    read: parseHttpProbe,
  },
  {
    annotation: 'wherry/probe-tcp',
    otherwise: undefined,
    expected: 'a port, such as "5432"',
    read: parseTcpProbe,
  },
  {
    annotation: 'wherry/probe-exec',
    otherwise: undefined,
    expected: 'a JSON list of words, such as ["/bin/check", "-q"]',
    read: parseExecProbe,
  },
];

function flag(annotation: string): Setting<boolean> {
  return {
    annotation,
    otherwise: false,
    expected: '"true" or "false"',
    read: (value) => (value === 'true' ? true : value === 'false' ? false : undefined),
  };
}

function wholeNumber<T>(
  annotation: string,
  otherwise: T,
  [min, max]: readonly [number, number],
): Setting<number | T> {
  return {
    annotation,
    otherwise,
    expected: `a whole number from ${min} to ${max}`,
    read: (value) => {
      const number = /^(0|[1-9][0-9]{0,5})$/.test(value) ? Number(value) : -1;
      return number >= min && number <= max ? number : undefined;
    },
  };
}

const probeRules = {
  intervalSeconds: wholeNumber('wherry/probe-interval', usualRules.intervalSeconds, [1, 3600]),
  timeoutSeconds: wholeNumber('wherry/probe-timeout', usualRules.timeoutSeconds, [1, 300]),
  failures: wholeNumber('wherry/probe-failures', usualRules.failures, [1, 100]),
  successes: wholeNumber('wherry/probe-successes', usualRules.successes, [1, 100]),
  startPeriodSeconds: wholeNumber('wherry/probe-start-period', undefined, [0, 3600]),
};

const secrets: Setting<readonly SecretUse[]> = {
  annotation: 'wherry/secrets',
  otherwise: [],
  expected: 'names of secrets, each with a mode if need be, such as "db-password tls-key:0440"',
  read: parseSecretUses,
};

const secretsSignal: Setting<string> = {
  annotation: 'wherry/secrets-signal',
  otherwise: 'none',
  expected: 'a signal other than SIGKILL, such as "SIGHUP", or "none"',
  // `none`: a pod overrides the signal of its image.
  read: (value) => (value === 'none' ? value : value === 'SIGKILL' ? undefined : readSignal(value)),
};

type Annotations = readonly (readonly NameValue[])[];

/**
 * The settings of an app.
 * @param annotations lists in which the first that has an annotation decides
 * @throws Refusal pod-manifest-invalid
 */
export function appSettings(app: string, ...annotations: Annotations): AppSettings {
  return readSettings(app, annotations, false);
}

/** The same for an app of a scheduled pod, which runs to its end. */
export function scheduledAppSettings(app: string, ...annotations: Annotations): AppSettings {
  return readSettings(app, annotations, true);
}

function readSettings(app: string, annotations: Annotations, scheduled: boolean): AppSettings {
  const setting = <T>({ annotation, otherwise, expected, read }: Setting<T>): T => {
    const written = annotations
      .map((list) => labelValue(list, annotation))
      .find((value) => value !== undefined);
    if (written === undefined) return otherwise;
    const refusal = (cause?: unknown) =>
      new Refusal(
        'pod-manifest-invalid',
        `app ${app}: annotation ${annotation}: expected ${expected}, found ${JSON.stringify(written.slice(0, 80))}`,
        { cause },
      );
    let value: T | undefined;
    try {
      value = read(written);
    } catch (cause) {
      if (!(cause instanceof Refusal)) throw cause;
      throw refusal(cause);
    }
    if (value === undefined) throw refusal();
    return value;
  };
  /** The first list with a probe decides its kind: a pod's probe replaces its image's. */
  const probeAction = (): ProbeAction | undefined => {
    for (const list of annotations) {
      const named = probeActions.filter(({ annotation }) => labelValue(list, annotation) !== undefined);
      if (named.length > 1) {
        const names = named.map(({ annotation }) => annotation).join(' and ');
        throw new Refusal('pod-manifest-invalid', `app ${app}: annotations ${names}: an app has one probe`);
      }
      for (const action of named) return setting(action);
    }
    return undefined;
  };
  const action = probeAction();
  const startPeriodSeconds = setting(probeRules.startPeriodSeconds);
  const rules: ProbeRules = {
    intervalSeconds: setting(probeRules.intervalSeconds),
    timeoutSeconds: setting(probeRules.timeoutSeconds),
    failures: setting(probeRules.failures),
    successes: setting(probeRules.successes),
    ...(startPeriodSeconds === undefined ? {} : { startPeriodSeconds }),
  };
  const runsOnce = setting(once);
  const restarts = setting<AppSettings['restart']>({
    ...restart,
    otherwise: runsOnce ? 'on-failure' : scheduled ? 'no' : 'always',
  });
  const ends = runsOnce || scheduled;
  const refuseEnding = (annotation: string, why: string) =>
    new Refusal(
      'pod-manifest-invalid',
      `app ${app}: annotation ${annotation}: ${why}, and the ${runsOnce ? 'app runs once' : 'pod is scheduled'}`,
    );
  if (ends && restarts === 'always') throw refuseEnding('wherry/restart', '"always" has no end');
  const isOff = action === undefined || (action.kind === 'exec' && action.command.length === 0);
  if (ends && !isOff)
    throw refuseEnding(`wherry/probe-${action.kind}`, 'a probe is for an app that keeps running');
  const signal = setting(secretsSignal);
  if (ends && signal !== 'none')
    throw refuseEnding(secretsSignal.annotation, 'a signal is for an app that keeps running');
  // An app that runs to its end is ready when it ends.
  const notifies = setting(notify) && !runsOnce;
  const watchdogSeconds = setting(watchdog);
  if (watchdogSeconds !== undefined && !notifies) {
    throw new Refusal(
      'pod-manifest-invalid',
      `app ${app}: annotation ${watchdog.annotation}: needs an app that keeps running and has ${notify.annotation} "true"`,
    );
  }
  return {
    restart: restarts,
    once: runsOnce,
    notify: notifies,
    ...(watchdogSeconds === undefined ? {} : { watchdogSeconds }),
    after: setting(after),
    startTimeoutSeconds: setting(startTimeout),
    stopSignal: setting(stopSignal),
    stopTimeoutSeconds: setting(stopTimeout),
    layer: setting(layer),
    secrets: setting(secrets),
    ...(signal === 'none' ? {} : { secretsSignal: signal }),
    ...(isOff ? {} : { probe: { action, rules } }),
  };
}
