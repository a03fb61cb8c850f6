import { isAcName, serializeImageManifest, type ImageManifest } from '../../image/appc/index.ts';
import { entrypointLength } from '../oci/index.ts';
import type { OfferedImage } from '../fleet/index.ts';
import type { Fields } from './fields.ts';
import { probeAnnotations } from './probes.ts';
import { readContainerSecurity, type Security } from './security.ts';

/** Settings of the pod for each of its containers. */
export interface PodSettings {
  readonly restart: string;
  readonly stopSeconds: number;
  readonly security: Security;
  /** Whether the container runs once to its end, and which one must end before it. */
  readonly order?: { readonly once?: boolean; readonly after?: string };
  /** Names of volumes that are defined. */
  readonly volumes: ReadonlySet<string>;
  /** @throws Refusal `not-found`, `input-invalid` */
  readonly imageOf: (reference: string, container: string) => OfferedImage;
}

/** A container, as an app of a pod manifest, and the ports of the host that lead to it. */
export interface ReadContainer {
  readonly name: string;
  readonly app: Readonly<Record<string, unknown>>;
  readonly ports: readonly Readonly<Record<string, unknown>>[];
}

/** The members of an image's `app` that a container changes. */
interface AppDraft {
  readonly exec: readonly string[];
  readonly user: string;
  readonly group: string;
  readonly environment?: readonly { readonly name: string; readonly value: string }[];
  readonly isolators?: readonly { readonly name: string; readonly value: unknown }[];
  readonly mountPoints?: readonly { readonly name: string }[];
}

export function readContainer(fields: Fields, pod: PodSettings): ReadContainer | undefined {
  const name = fields.string('name') ?? '';
  if (!isAcName(name)) fields.findings.add(fields.at('name'), 'expected a name such as "web"');
  // No effect: an image is identified by its digest.
  fields.take('imagePullPolicy');
  for (const flag of ['stdin', 'stdinOnce', 'tty']) fields.only(flag, false);
  fields.only('terminationMessagePath', '/dev/termination-log');
  fields.only('terminationMessagePolicy', 'File');
  const reference = fields.string('image');
  if (reference === undefined) fields.findings.add(fields.at('image'), 'is missing');
  const image = reference === undefined ? undefined : pod.imageOf(reference, name);

  const own = image === undefined ? undefined : appOf(image.manifest);
  const environment = readEnvironment(fields);
  const [command, args] = [fields.strings('command'), fields.strings('args')];
  const directory = fields.string('workingDir');
  const ports = readPorts(fields, name);
  const mountPoints = readMounts(fields, pod.volumes);
  const resources = fields.object('resources', readResources) ?? [];
  const security = fields.object('securityContext', readContainerSecurity) ?? { isolators: [] };
  const numbers = new Map(ports.map(({ port }) => [port.name, port.port]));
  const probes = probeAnnotations(fields, numbers);
  if (image === undefined) return undefined;

  const { user, group, nonRoot } = { ...pod.security, ...security };
  const account = {
    user: user === undefined ? (own?.user ?? '0') : String(user),
    // As in Kubernetes, a user without a group gets the group root.
    group: group === undefined ? (user === undefined ? (own?.group ?? '0') : '0') : String(group),
  };
  if (nonRoot === true && !/^[1-9][0-9]*$/.test(account.user)) {
    fields.findings.add(
      fields.at('securityContext.runAsNonRoot'),
      `the user is ${JSON.stringify(account.user)}; give a number other than 0 with runAsUser`,
    );
  }
  const exec = execOf(own?.exec ?? [], entrypointLength(image.manifest), command, args);
  if (exec.length === 0) {
    fields.findings.add(fields.at('command'), 'is required, because the image has no program to run');
  }
  const variables = merged(own?.environment ?? [], environment);
  const isolators = [...resources, ...security.isolators];
  const replaced = new Set(isolators.map((isolator) => isolator.name.replace(/-(retain|remove)-set$/, '')));
  const { once = false, after } = pod.order ?? {};
  return {
    name,
    app: {
      name,
      image: { id: image.id },
      app: {
        ...own,
        ...account,
        exec: exec.map((word) => expanded(word, new Map(variables.map((one) => [one.name, one.value])))),
        environment: variables,
        ...(directory === undefined ? {} : { workingDirectory: directory }),
        ...(pod.security.supplementaryGroups === undefined
          ? {}
          : { supplementaryGIDs: pod.security.supplementaryGroups }),
        mountPoints: [
          ...(own?.mountPoints ?? []).filter((point) => pod.volumes.has(point.name)),
          ...mountPoints,
        ],
        ports: ports.map(({ port }) => port),
        isolators: [
          ...(own?.isolators ?? []).filter(
            (isolator) => !replaced.has(isolator.name.replace(/-(retain|remove)-set$/, '')),
          ),
          ...isolators,
        ],
      },
      ...(security.readOnlyRoot === true ? { readOnlyRootFS: true } : {}),
      annotations: [
        // A container that runs once is retried until it succeeds, unless the pod never restarts.
        { name: 'wherry/restart', value: once && pod.restart === 'always' ? 'on-failure' : pod.restart },
        ...(once ? [{ name: 'wherry/once', value: 'true' }] : []),
        ...(after === undefined ? [] : [{ name: 'wherry/after', value: after }]),
        { name: 'wherry/stop-timeout', value: String(pod.stopSeconds) },
        ...probes,
      ],
    },
    ports: ports.flatMap(({ host }) => (host === undefined ? [] : [host])),
  };
}

/** `command` replaces the entrypoint and the command of the image, `args` only the command. */
function execOf(
  own: readonly string[],
  entrypoint: number,
  command: readonly string[] | undefined,
  args: readonly string[] | undefined,
): readonly string[] {
  if (command !== undefined) return [...command, ...(args ?? [])];
  return args === undefined ? own : [...own.slice(0, entrypoint), ...args];
}

function readEnvironment(fields: Fields): readonly { readonly name: string; readonly value: string }[] {
  const known = new Map<string, string>();
  return fields.list('env', (one) => {
    const name = one.string('name') ?? '';
    const value = expanded(one.string('value') ?? '', known);
    known.set(name, value);
    return { name, value };
  });
}

/** `$(NAME)` of a variable that is defined, `$$(` for `$(`; as in Kubernetes. */
function expanded(text: string, variables: ReadonlyMap<string, string>): string {
  return text.replace(/\$(\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))/g, (whole, rest: string, name?: string) =>
    name === undefined ? (rest === '$' ? '$' : whole) : (variables.get(name) ?? whole),
  );
}

function readPorts(fields: Fields, container: string) {
  return fields.list('ports', (one) => {
    const number = one.count('containerPort') ?? 0;
    const name = one.string('name') ?? `port-${number}`;
    const protocol = (one.string('protocol') ?? 'TCP').toLowerCase();
    if (protocol !== 'tcp' && protocol !== 'udp') one.findings.add(one.at('protocol'), 'expected TCP or UDP');
    const hostPort = one.count('hostPort');
    const hostIP = one.string('hostIP');
    const port = { name, protocol, port: number };
    return {
      port,
      host:
        hostPort === undefined
          ? undefined
          : {
              name: `${container}-${name}`.slice(0, 63),
              hostPort,
              ...(hostIP === undefined ? {} : { hostIP }),
              podPort: port,
            },
    };
  });
}

function readMounts(fields: Fields, volumes: ReadonlySet<string>) {
  const seen = new Set<string>();
  return fields.list('volumeMounts', (one) => {
    const name = one.string('name') ?? '';
    const path = one.string('mountPath') ?? '';
    const readOnly = one.boolean('readOnly') ?? false;
    one.only('mountPropagation', 'None');
    one.only('recursiveReadOnly', 'Disabled');
    if (!volumes.has(name)) one.findings.add(one.at('name'), `the pod has no volume ${JSON.stringify(name)}`);
    if (seen.has(name)) one.findings.add(one.at('name'), 'the volume is mounted twice in this container');
    seen.add(name);
    return { name, path, readOnly };
  });
}

function readResources(fields: Fields) {
  const amounts = (one: Fields) => ({ cpu: one.quantity('cpu'), memory: one.quantity('memory') });
  const limits = fields.object('limits', amounts);
  const requests = fields.object('requests', amounts);
  return (['cpu', 'memory'] as const).flatMap((kind) => {
    const value = {
      ...(requests?.[kind] === undefined ? {} : { request: requests[kind] }),
      ...(limits?.[kind] === undefined ? {} : { limit: limits[kind] }),
    };
    return Object.keys(value).length === 0 ? [] : [{ name: `resource/${kind}`, value }];
  });
}

/** The image's `app` as JSON, made by the serializer of image manifests. */
function appOf(manifest: ImageManifest): AppDraft | undefined {
  if (manifest.app === undefined) return undefined;
  return (JSON.parse(new TextDecoder().decode(serializeImageManifest(manifest))) as { app: AppDraft }).app;
}

function merged<T extends { readonly name: string }>(own: readonly T[], given: readonly T[]): readonly T[] {
  const names = new Set(given.map(({ name }) => name));
  return [...own.filter(({ name }) => !names.has(name)), ...given];
}
