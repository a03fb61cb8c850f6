import { labelValue, parseQuantity, wholeUnits, type NameValue } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { type HttpProbe, parseHttpProbe } from './http-probe.ts';
import { parseSecretUses, type SecretUse } from './secrets.ts';

/**
 * What the specification leaves open and annotations `wherry/…` of an app decide; the pod's
 * manifest wins over the image's.
 */
export interface AppSettings {
  readonly restart: 'no' | 'on-failure' | 'always';
  /** What asks the app to end. */
  readonly stopSignal: string;
  /** Seconds from that signal to SIGKILL. */
  readonly stopTimeoutSeconds: number;
  /** Size of the writable layer in memory. */
  readonly layerBytes: bigint;
  readonly probeHttp?: HttpProbe;
  readonly secrets: readonly SecretUse[];
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

const stopTimeout: Setting<number> = {
  annotation: 'wherry/stop-timeout',
  otherwise: 10,
  expected: 'whole seconds from 1 to 3600',
  read: (value) => (/^[1-9][0-9]{0,3}$/.test(value) && Number(value) <= 3600 ? Number(value) : undefined),
};

const stopSignal: Setting<string> = {
  annotation: 'wherry/stop-signal',
  otherwise: 'SIGTERM',
  expected: 'a signal such as "SIGQUIT"',
  read: (value) =>
    /^SIG(TERM|INT|QUIT|HUP|KILL|USR1|USR2|WINCH|ABRT|PWR|RTMIN(\+([1-9]|[12][0-9]|30))?)$/.test(value)
      ? value
      : undefined,
};

const minLayerBytes = 1n << 16n;
const maxLayerBytes = 1n << 40n;

const layerSize: Setting<bigint> = {
  annotation: 'wherry/layer-size',
  otherwise: 64n << 20n,
  expected: 'an amount from 64Ki to 1Ti, such as "64Mi"',
  read: (value) => {
    const bytes = wholeUnits(parseQuantity(value));
    return bytes >= minLayerBytes && bytes <= maxLayerBytes ? bytes : undefined;
  },
};

const probeHttp: Setting<HttpProbe | undefined> = {
  annotation: 'wherry/probe-http',
  otherwise: undefined,
  expected: 'a port and a path, such as "8080/healthz"',
  read: parseHttpProbe,
};

const secrets: Setting<readonly SecretUse[]> = {
  annotation: 'wherry/secrets',
  otherwise: [],
  expected: 'names of secrets, each with a mode if need be, such as "db-password tls-key:0440"',
  read: parseSecretUses,
};

/**
 * The settings of an app.
 * @param annotations lists in which the first that has an annotation decides
 * @throws Refusal pod-manifest-invalid
 */
export function appSettings(app: string, ...annotations: readonly (readonly NameValue[])[]): AppSettings {
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
  const probe = setting(probeHttp);
  return {
    restart: setting(restart),
    stopSignal: setting(stopSignal),
    stopTimeoutSeconds: setting(stopTimeout),
    layerBytes: setting(layerSize),
    secrets: setting(secrets),
    ...(probe === undefined ? {} : { probeHttp: probe }),
  };
}
