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
  readonly hostNetwork: boolean;
  /** The wanted name for a port, or one like it that no port of the pod has. */
  readonly portName: (wanted: string) => string;
  /** Undefined for an image that was not given, after which the pod is refused. */
  readonly imageOf: (reference: string, container: string) => OfferedImage | undefined;
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
  readonly supplementaryGIDs?: readonly number[];
  readonly environment?: readonly { readonly name: string; readonly value: string }[];
  readonly isolators?: readonly { readonly name: string; readonly value: unknown }[];
  readonly mountPoints?: readonly { readonly name: string }[];
}

const noFilter = { name: 'os/linux/seccomp-retain-set', value: { set: ['@appc.io/all'] } };

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
  const variables = new Map(environment.map((one) => [one.name, one.value]));
  // As in Kubernetes, an empty list or string is absent.
  const [command, args] = (['command', 'args'] as const).map((key) => {
    const words = fields.strings(key) ?? [];
    return words.length === 0 ? undefined : words.map((word) => expanded(word, variables));
  });
  const directory = fields.string('workingDir') ?? '';
  const ports = readPorts(fields, pod);
  const mountPoints = readMounts(fields, pod.volumes);
  const resources = fields.object('resources', readResources) ?? [];
  const security = fields.object('securityContext', readContainerSecurity) ?? { isolators: [] };
  const numbers = new Map(ports.map(({ wanted, port }) => [wanted, port.port]));
  const probes = probeAnnotations(fields, numbers);
  if (image === undefined) return undefined;
  // As in Kubernetes, the health check of an image has no effect.
  const checked = image.manifest.annotations.some((one) => one.name.startsWith('wherry/probe-'));
  const noProbe = probes.length === 0 && checked ? [{ name: 'wherry/probe-exec', value: '[]' }] : [];

  const { user, group, nonRoot, unconfined } = { ...pod.security, ...security };
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
  // The image's groups are those of its own user.
  const groups = [
    ...(account.user === own?.user ? (own.supplementaryGIDs ?? []) : []),
    ...(pod.security.supplementaryGroups ?? []),
  ];
  const exec = execOf(own?.exec ?? [], entrypointLength(image.manifest), command, args);
  if (exec.length === 0) {
    fields.findings.add(fields.at('command'), 'is required, because the image has no program to run');
  }
  const isolators = [...resources, ...security.isolators, ...(unconfined === true ? [noFilter] : [])];
  const replaced = new Set(isolators.map((isolator) => isolator.name.replace(/-(retain|remove)-set$/, '')));
  if (unconfined === false) replaced.add('os/linux/seccomp');
  const { once = false, after } = pod.order ?? {};
  return {
    name,
    app: {
      name,
      image: { id: image.id },
      app: {
        ...own,
        ...account,
        exec,
        environment: merged(own?.environment ?? [], environment),
        ...(directory === '' ? {} : { workingDirectory: directory }),
        supplementaryGIDs: groups,
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
        ...noProbe,
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

/** As in Kubernetes, the last of several values of a variable counts. */
function readEnvironment(fields: Fields): readonly { readonly name: string; readonly value: string }[] {
  const known = new Map<string, string>();
  fields.list('env', (one) =>
    known.set(one.string('name') ?? '', expanded(one.string('value') ?? '', known)),
  );
  return [...known].map(([name, value]) => ({ name, value }));
}

/**
 * `$(NAME)` of a variable that the container defines, `$$` for `$`; as in Kubernetes, where a name
 * reaches to the first closing bracket.
 */
function expanded(text: string, variables: ReadonlyMap<string, string>): string {
  return text.replace(/\$(?:\$|\(([^)]*)\))/g, (whole, name?: string) =>
    name === undefined ? '$' : (variables.get(name) ?? whole),
  );
}

function readPorts(fields: Fields, { hostNetwork, portName }: PodSettings) {
  return fields.list('ports', (one) => {
    const number = one.count('containerPort') ?? 0;
    const wanted = one.string('name') ?? `port-${number}`;
    const protocol = (one.string('protocol') ?? 'TCP').toLowerCase();
    if (protocol !== 'tcp' && protocol !== 'udp') one.findings.add(one.at('protocol'), 'expected TCP or UDP');
    const hostPort = one.count('hostPort') ?? 0;
    if (hostNetwork && hostPort !== 0 && hostPort !== number) {
      one.findings.add(one.at('hostPort'), `expected ${number}: nothing forwards ports of the host network`);
    }
    const hostIP = one.string('hostIP') ?? '';
    const port = { name: portName(wanted), protocol, port: number };
    const host = { name: port.name, hostPort, ...(hostIP === '' ? {} : { hostIP }), podPort: port };
    return { wanted, port, host: hostPort === 0 ? undefined : host };
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
