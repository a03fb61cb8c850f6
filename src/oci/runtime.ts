import { isAcName, sanitizeAcName, type JsonValue } from '../appc/index.ts';
import { Refusal } from '../refusal/index.ts';
import type { ImageConfig } from './documents.ts';

/** What an image of either kind is to run; the JSON of an `app` (aci.md#image-manifest-schema). */
export interface AppDraft {
  readonly exec: readonly string[];
  readonly user: string;
  readonly group: string;
  readonly workingDirectory: string;
  readonly environment: readonly { readonly name: string; readonly value: string }[];
  readonly mountPoints: readonly { readonly name: string; readonly path: string }[];
  readonly ports: readonly { readonly name: string; readonly protocol: string; readonly port: number }[];
  readonly userAnnotations?: Readonly<Record<string, string>>;
}

export interface ConvertedRuntime {
  readonly app?: AppDraft;
  readonly annotations: readonly { readonly name: string; readonly value: string }[];
  /** What has no place in an App Container Image, in words. */
  readonly warnings: readonly string[];
}

/** Annotations of ours for what the specification leaves open. */
export const stopSignalAnnotation = 'wherry/stop-signal';
/** Docker's health check, kept for the way back; nothing runs it. */
export const healthcheckAnnotation = 'wherry/oci-healthcheck';
/** How many words of `exec` were the entrypoint. */
export const entrypointAnnotation = 'wherry/oci-entrypoint-length';

const environmentName = /^[A-Za-z_][A-Za-z_0-9.-]*$/;

/**
 * The app of a config. Labels go to `userAnnotations`, which take any key and which nobody interprets.
 * @param passwd the image's own /etc/passwd: OCI lets the group be left out, appc does not
 */
export function runtimeOf(config: ImageConfig, passwd: string): ConvertedRuntime {
  const warnings: string[] = [];
  const annotations: { name: string; value: string }[] = [];
  if (config.created !== undefined) annotations.push({ name: 'created', value: config.created });
  if (config.author !== undefined) annotations.push({ name: 'authors', value: config.author });
  if (config.stopSignal !== undefined) {
    annotations.push({ name: stopSignalAnnotation, value: signalName(config.stopSignal) });
  }
  if (config.healthcheck !== undefined) {
    annotations.push({ name: healthcheckAnnotation, value: JSON.stringify(config.healthcheck) });
    warnings.push(
      'its health check is a command, which is kept as an annotation but never run; set wherry/probe-http',
    );
  }
  const exec = [...config.entrypoint, ...config.command];
  if (exec.length === 0) {
    warnings.push('it has no command; a pod that uses it must say what to run');
    return { annotations, warnings };
  }
  if (config.entrypoint.length > 0 && config.command.length > 0) {
    annotations.push({ name: entrypointAnnotation, value: String(config.entrypoint.length) });
  }
  const labels = Object.keys(config.labels).length > 0 ? { userAnnotations: config.labels } : {};
  return {
    app: {
      exec,
      ...account(config.user, passwd),
      workingDirectory:
        config.workingDirectory === '' ? '/' : `/${config.workingDirectory.replace(/^\/+/, '')}`,
      environment: environment(config.environment, warnings),
      mountPoints: mountPoints(config.volumes),
      ports: ports(config.exposedPorts, warnings),
      ...labels,
    },
    annotations,
    warnings,
  };
}

/** `uid`, `user`, `uid:gid`, `user:group`; what is left out is root, and the group that the account file names. */
function account(user: string, passwd: string): { user: string; group: string } {
  const [name = '', group = ''] = user.split(':');
  const own = name === '' ? '0' : name;
  if (group !== '') return { user: own, group };
  for (const line of passwd.split('\n')) {
    const [login, , uid, gid] = line.split(':');
    if ((login === own || uid === own) && gid !== undefined && /^\d+$/.test(gid))
      return { user: own, group: gid };
  }
  return { user: own, group: '0' };
}

/** The last of doubled names counts, as for a process that gets them. */
function environment(pairs: readonly string[], warnings: string[]): { name: string; value: string }[] {
  const variables = new Map<string, string>();
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    const name = at < 0 ? pair : pair.slice(0, at);
    if (!environmentName.test(name)) {
      warnings.push(`its environment has a name that is none: ${JSON.stringify(name)}`);
      continue;
    }
    variables.set(name, at < 0 ? '' : pair.slice(at + 1));
  }
  return [...variables].map(([name, value]) => ({ name, value }));
}

function mountPoints(paths: readonly string[]): { name: string; path: string }[] {
  const taken = new Set<string>();
  return paths.map((path) => ({
    name: uniqueName(path, 'volume', taken),
    path: `/${path.replace(/^\/+|\/+$/g, '')}`,
  }));
}

function ports(
  exposed: readonly string[],
  warnings: string[],
): { name: string; protocol: string; port: number }[] {
  const taken = new Set<string>();
  return exposed.flatMap((text) => {
    const [, number = '', protocol = 'tcp'] = /^(\d{1,5})(?:\/(tcp|udp|sctp))?$/.exec(text) ?? [];
    const port = Number(number);
    if (number === '' || port < 1 || port > 65_535) {
      warnings.push(`it exposes ${JSON.stringify(text)}, which is no port`);
      return [];
    }
    return [{ name: uniqueName(`${protocol}-${port}`, 'port', taken), protocol, port }];
  });
}

function uniqueName(text: string, otherwise: string, taken: Set<string>): string {
  const base = sanitizeAcName(text.toLowerCase().replace(/[^a-z0-9]+/g, '-')) ?? otherwise;
  let name = isAcName(base) ? base : otherwise;
  for (let count = 2; taken.has(name); count++) name = `${base}-${count}`;
  taken.add(name);
  return name;
}

/** Docker takes numbers and names without SIG. */
function signalName(text: string): string {
  const numbers: Readonly<Record<string, string>> = {
    1: 'HUP',
    2: 'INT',
    3: 'QUIT',
    9: 'KILL',
    10: 'USR1',
    12: 'USR2',
    15: 'TERM',
    28: 'WINCH',
  };
  const name = (numbers[text] ?? text).toUpperCase();
  return name.startsWith('SIG') ? name : `SIG${name}`;
}

/** The members of `config` in an OCI image's config for an app, the way back of `runtimeOf`. */
export function configOf(
  app: AppDraft,
  annotation: (name: string) => string | undefined,
): Readonly<Record<string, JsonValue>> {
  const split = Number(annotation(entrypointAnnotation) ?? app.exec.length);
  const isRoot = app.user === '0' && app.group === '0';
  const stopSignal = annotation(stopSignalAnnotation);
  const healthcheck = annotation(healthcheckAnnotation);
  const member = (key: string, value: JsonValue | undefined) => (value === undefined ? {} : { [key]: value });
  const command = app.exec.slice(split);
  return {
    ...member('User', isRoot ? undefined : `${app.user}:${app.group}`),
    ...member('ExposedPorts', keys(app.ports.map(({ port, protocol }) => `${port}/${protocol}`))),
    ...member(
      'Env',
      app.environment.length > 0 ? app.environment.map(({ name, value }) => `${name}=${value}`) : undefined,
    ),
    Entrypoint: app.exec.slice(0, split),
    ...member('Cmd', command.length > 0 ? command : undefined),
    ...member('Volumes', keys(app.mountPoints.map(({ path }) => path))),
    ...member('WorkingDir', app.workingDirectory === '/' ? undefined : app.workingDirectory),
    ...member('Labels', app.userAnnotations),
    ...member('StopSignal', stopSignal),
    ...member('Healthcheck', healthcheck === undefined ? undefined : parsedHealthcheck(healthcheck)),
  };
}

function keys(names: readonly string[]): JsonValue | undefined {
  return names.length === 0 ? undefined : Object.fromEntries(names.map((name) => [name, {}]));
}

function parsedHealthcheck(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch (cause) {
    throw new Refusal('image-manifest-invalid', `the annotation ${healthcheckAnnotation} is no JSON`, {
      cause,
    });
  }
}
