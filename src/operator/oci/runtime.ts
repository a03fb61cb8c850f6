import { posix } from 'node:path';
import {
  type ImageManifest,
  isAcName,
  isOfRuntime,
  isWithin,
  labelValue,
  sanitizeAcName,
  type JsonValue,
} from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { accountOf, type AccountFiles } from './account.ts';
import type { ImageConfig } from './documents.ts';
import { convertHealthCheck } from './health-check.ts';
import { signalName } from './stop-signal.ts';

/** The app of an image of either kind; the JSON of an `app` (aci.md#image-manifest-schema). */
export interface AppDraft {
  readonly exec: readonly string[];
  readonly user: string;
  readonly group: string;
  readonly supplementaryGIDs?: readonly number[];
  readonly workingDirectory: string;
  readonly environment: readonly { readonly name: string; readonly value: string }[];
  readonly mountPoints: readonly { readonly name: string; readonly path: string }[];
  readonly ports: readonly {
    readonly name: string;
    readonly protocol: string;
    readonly port: number;
    /** Ports from `port` on; one by default. */
    readonly count?: number;
  }[];
  readonly userAnnotations?: Readonly<Record<string, string>>;
}

export interface ConvertedRuntime {
  readonly app?: AppDraft;
  readonly annotations: readonly { readonly name: string; readonly value: string }[];
  /** What an App Container Image cannot express, in words. */
  readonly warnings: readonly string[];
}

/** wherry's annotations for what the specification leaves open. */
const stopSignalAnnotation = 'wherry/stop-signal';
/**
 * Docker's health check, kept for the conversion back to OCI; devices run the probe made from it.
 */
const healthcheckAnnotation = 'wherry/oci-healthcheck';
/** How many words of `exec` were the entrypoint. */
const entrypointAnnotation = 'wherry/oci-entrypoint-length';
/**
 * The group that the image's account files gave to a user without one; the conversion back omits
 * it.
 */
const defaultGroupAnnotation = 'wherry/oci-default-group';

/**
 * How many words of the image's `exec` are the entrypoint and not the command that a pod may
 * replace: all of them in an image that was not converted from OCI.
 */
export function entrypointLength({ app, annotations }: ImageManifest): number {
  const words = app?.exec.length ?? 0;
  const written = labelValue(annotations, entrypointAnnotation);
  return written !== undefined && /^\d{1,6}$/.test(written) ? Math.min(Number(written), words) : words;
}

const environmentName = /^[A-Za-z_][A-Za-z_0-9.-]*$/;

/**
 * The app of a config. Labels go to `userAnnotations`, which accept any key and are not
 * interpreted.
 */
export function runtimeOf(config: ImageConfig, files: AccountFiles): ConvertedRuntime {
  const warnings: string[] = [];
  const annotations: { name: string; value: string }[] = [];
  if (config.created !== undefined) annotations.push({ name: 'created', value: config.created });
  if (config.author !== undefined) annotations.push({ name: 'authors', value: config.author });
  if (config.stopSignal !== undefined) {
    const value = signalName(config.stopSignal);
    if (value !== undefined) annotations.push({ name: stopSignalAnnotation, value });
    else {
      warnings.push(
        `its stop signal ${JSON.stringify(config.stopSignal)} is none that a device sends; it gets SIGTERM`,
      );
    }
  }
  if (config.healthcheck !== undefined) {
    annotations.push({ name: healthcheckAnnotation, value: JSON.stringify(config.healthcheck) });
    const probe = convertHealthCheck(config.healthcheck);
    annotations.push(...probe.annotations);
    warnings.push(...probe.warnings);
  }
  const entrypoint = isEmptyWord(config.entrypoint) ? [] : config.entrypoint;
  const command = entrypoint.length === 0 && isEmptyWord(config.command) ? [] : config.command;
  const exec = [...entrypoint, ...command];
  if (exec.length === 0) warnings.push('it has no command; a pod that uses it must specify what to run');
  if (isBare({ ...config, entrypoint, command })) return { annotations, warnings };
  if (command.length > 0) {
    annotations.push({ name: entrypointAnnotation, value: String(entrypoint.length) });
  }
  const { user, group, supplementaryGids, isDefaultGroup } = accountOf(config.user, files);
  if (isDefaultGroup) annotations.push({ name: defaultGroupAnnotation, value: group });
  return {
    app: {
      exec,
      user,
      group,
      ...(supplementaryGids.length > 0 ? { supplementaryGIDs: supplementaryGids } : {}),
      workingDirectory: inRoot(config.workingDirectory),
      environment: environment(config.environment, warnings),
      mountPoints: mountPoints(config.volumes, warnings),
      ports: ports(config.exposedPorts, warnings),
      ...(Object.keys(config.labels).length > 0 ? { userAnnotations: config.labels } : {}),
    },
    annotations,
    warnings,
  };
}

/** `ENTRYPOINT [""]` resets an entrypoint (moby, mergeAndVerifyConfig). */
function isEmptyWord(words: readonly string[]): boolean {
  return words.length === 1 && words[0] === '';
}

/** Whether a config describes no process, as for an image with files only. */
function isBare(config: ImageConfig): boolean {
  const { entrypoint, command, environment: env, volumes, exposedPorts, labels } = config;
  const said = [...entrypoint, ...command, ...env, ...volumes, ...exposedPorts, ...Object.keys(labels)];
  return said.length === 0 && config.user === '' && config.workingDirectory === '';
}

/** A path in the app's root: absolute, without `..` and without a slash at the end. */
function inRoot(path: string): string {
  const normal = posix.normalize(`/${path}`);
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal;
}

/** Of duplicate names the last one counts. */
function environment(pairs: readonly string[], warnings: string[]): { name: string; value: string }[] {
  const variables = new Map<string, string>();
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    const name = at < 0 ? pair : pair.slice(0, at);
    if (!environmentName.test(name)) {
      warnings.push(`its environment has an invalid name: ${JSON.stringify(name)}`);
      continue;
    }
    variables.set(name, at < 0 ? '' : pair.slice(at + 1));
  }
  return [...variables].map(([name, value]) => ({ name, value }));
}

function mountPoints(paths: readonly string[], warnings: string[]): { name: string; path: string }[] {
  const taken = new Set<string>();
  const places = [...new Set(paths.map(inRoot))].filter((path) => path !== '/');
  if (paths.some((path) => inRoot(path) === '/')) {
    warnings.push('it has a volume at /, which would hide all of its files');
  }
  return places.flatMap((path) => {
    if (isOfRuntime(path)) {
      warnings.push(`it has a volume at ${path}, which belongs to the runtime; it gets no mount point`);
      return [];
    }
    const above = places.find((place) => place !== path && isWithin(path, place));
    if (above !== undefined) {
      warnings.push(
        `it has a volume at ${path} in that at ${above}; mounts cannot overlap, so it gets no mount point`,
      );
      return [];
    }
    return [{ name: uniqueName(path, 'volume', taken), path }];
  });
}

function ports(
  exposed: readonly string[],
  warnings: string[],
): { name: string; protocol: string; port: number }[] {
  const found = new Map<string, { name: string; protocol: string; port: number }>();
  for (const text of exposed) {
    const [, number = '', protocol = 'tcp'] =
      /^(\d{1,5})(?:\/(tcp|udp|sctp))?$/.exec(text.toLowerCase()) ?? [];
    const port = Number(number);
    const name = `${protocol}-${port}`;
    if (port >= 1 && port <= 65_535)
      found.set(name, { name, protocol, port }); // `80` and `80/tcp` are one
    else warnings.push(`it exposes ${JSON.stringify(text)}, which is not a port`);
  }
  return [...found.values()];
}

function uniqueName(text: string, otherwise: string, taken: Set<string>): string {
  const base = sanitizeAcName(text.toLowerCase().replace(/[^a-z0-9]+/g, '-')) ?? otherwise;
  let name = isAcName(base) ? base : otherwise;
  for (let count = 2; taken.has(name); count++) name = `${base}-${count}`;
  taken.add(name);
  return name;
}

/** The members of `config` in an OCI image's config for an app, the reverse of `runtimeOf`. */
export function configOf(
  app: AppDraft,
  annotation: (name: string) => string | undefined,
): Readonly<Record<string, JsonValue>> {
  const split = /^\d{1,6}$/.exec(annotation(entrypointAnnotation) ?? '')?.[0] ?? app.exec.length;
  const entrypoint = app.exec.slice(0, Number(split));
  const command = app.exec.slice(Number(split));
  const hasDefaultGroup = annotation(defaultGroupAnnotation) === app.group;
  const isRoot = hasDefaultGroup && app.user === '0';
  const stopSignal = annotation(stopSignalAnnotation);
  const healthcheck = annotation(healthcheckAnnotation);
  const member = (key: string, value: JsonValue | undefined) => (value === undefined ? {} : { [key]: value });
  return {
    ...member('User', isRoot ? undefined : hasDefaultGroup ? app.user : `${app.user}:${app.group}`),
    ...member(
      'ExposedPorts',
      keys(
        app.ports.flatMap(({ port, protocol, count = 1 }) =>
          Array.from({ length: count }, (_, index) => `${port + index}/${protocol}`),
        ),
      ),
    ),
    ...member(
      'Env',
      app.environment.length > 0 ? app.environment.map(({ name, value }) => `${name}=${value}`) : undefined,
    ),
    ...member('Entrypoint', entrypoint.length > 0 ? entrypoint : undefined),
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
    throw new Refusal('image-manifest-invalid', `the annotation ${healthcheckAnnotation} is not JSON`, {
      cause,
    });
  }
}
