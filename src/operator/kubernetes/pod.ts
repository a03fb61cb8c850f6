import type { AcName } from '../../image/appc/index.ts';
import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import { type OfferedImages, type ReifiedPod, reifyPod } from '../fleet/index.ts';
import { readContainer, type ReadContainer } from './container.ts';
import { Fields, Findings, type Value } from './fields.ts';
import { readSecurity } from './security.ts';

/** The restart policies of Kubernetes, as the annotation `wherry/restart`. */
const restarts: Readonly<Record<string, string>> = { Always: 'always', OnFailure: 'on-failure', Never: 'no' };

/** Annotations of wherry that have a meaning for a whole pod; others are of an app or an image. */
const podAnnotations: ReadonlySet<string> = new Set(
  ['network', 'metadata', 'kept-volumes', 'memory-volumes', 'schedule', 'schedule-missed'].map(
    (key) => `wherry/${key}`,
  ),
);

/** Whether a parsed document is one of Kubernetes and not a pod manifest. */
export function isKubernetes(document: unknown): boolean {
  return typeof document === 'object' && document !== null && 'apiVersion' in document;
}

/**
 * The pod that a Kubernetes Pod describes.
 *
 * @param name of the pod on the device
 * @param document parsed YAML
 * @throws Refusal `input-invalid` with every field that has no meaning here; as `reifyPod`
 */
export function podFromKubernetes(name: AcName, document: unknown, offered: OfferedImages): ReifiedPod {
  const findings = new Findings();
  const missing: Refusal[] = [];
  const fields = new Fields(document as Value, '', findings);
  const kind = fields.string('kind');
  if (fields.string('apiVersion') !== 'v1' || kind !== 'Pod') {
    throw new Refusal(
      'input-invalid',
      `pod ${name}: expected apiVersion v1 and kind Pod, found kind ${JSON.stringify(kind ?? null)}; give the template of its pods as a Pod`,
    );
  }
  const about = fields.object('metadata', readMetadata) ?? { annotations: [], labels: {}, notes: {} };
  const draft = fields.object('spec', (spec) => readSpec(spec, name, offered, missing));
  if (draft === undefined) findings.add('spec', 'is missing');
  const network = about.annotations.find((one) => one.name === 'wherry/network')?.value ?? 'host';
  if (draft?.network === 'host' && network !== 'host') {
    findings.add('spec.hostNetwork', `the annotation wherry/network names the network ${network}`);
  }
  // Written by the cluster.
  fields.take('status');
  fields.end();
  if (findings.lines.length > 0 || draft === undefined) {
    throw new Refusal(
      'input-invalid',
      `pod ${name}: ${findings.lines.length === 1 ? 'a field of the Pod has' : 'fields of the Pod have'} no meaning on a device: ${findings.lines.join('; ')}`,
    );
  }
  if (missing[0] !== undefined) throw missing[0];
  const given = new Map(about.annotations.map((one) => [one.name, one.value]));
  if (!given.has('wherry/network')) given.set('wherry/network', draft.network);
  const memory = [given.get('wherry/memory-volumes') ?? [], draft.memory].flat();
  if (memory.length > 0) given.set('wherry/memory-volumes', memory.join(','));
  const manifest = {
    ...draft.manifest,
    annotations: [...given].map(([key, value]) => ({ name: key, value })),
    ...(Object.keys(about.labels).length === 0 ? {} : { userLabels: about.labels }),
    ...(Object.keys(about.notes).length === 0 ? {} : { userAnnotations: about.notes }),
  };
  return reifyPod(name, JSON.stringify(manifest), offered);
}

/** Annotations `wherry/…` have a meaning here; labels and other annotations are kept for people. */
function readMetadata(fields: Fields) {
  fields.take('name');
  fields.only('namespace', 'default');
  // `podman kube generate` writes it.
  fields.take('creationTimestamp');
  const annotations = Object.entries(fields.texts('annotations'));
  const isOurs = ([key]: [string, string]) => key.startsWith('wherry/');
  for (const [key] of annotations.filter(isOurs)) {
    if (!podAnnotations.has(key)) {
      fields.findings.add(`metadata.annotations.${key}`, 'is not an annotation of a pod');
    }
  }
  return {
    annotations: annotations.filter(isOurs).map(([key, value]) => ({ name: key, value })),
    notes: Object.fromEntries(annotations.filter((one) => !isOurs(one))),
    labels: fields.texts('labels'),
  };
}

function readSpec(fields: Fields, name: string, offered: OfferedImages, missing: Refusal[]) {
  const policy = fields.string('restartPolicy') ?? 'Always';
  if (!Object.hasOwn(restarts, policy)) {
    fields.findings.add(fields.at('restartPolicy'), `expected ${Object.keys(restarts).join(', ')}`);
  }
  const stopSeconds = fields.count('terminationGracePeriodSeconds') ?? 30;
  if (stopSeconds < 1 || stopSeconds > 3600) {
    fields.findings.add(fields.at('terminationGracePeriodSeconds'), 'expected 1 to 3600');
  }
  const network = fields.boolean('hostNetwork') === true ? 'host' : 'bridge';
  fields.only('hostname', name);
  fields.only('dnsPolicy', 'ClusterFirst', 'ClusterFirstWithHostNet', 'Default');
  fields.only('automountServiceAccountToken', false);
  fields.only('enableServiceLinks', false);
  // The apps of a pod share a process namespace.
  fields.only('shareProcessNamespace', true);
  for (const namespace of ['hostPID', 'hostIPC']) fields.only(namespace, false);
  const security = fields.object('securityContext', readPodSecurity);
  const read = fields.list('volumes', (volume) => readVolume(volume, security?.volumeGroup));
  const volumes = read.map(({ volume }) => volume);
  const memory = read.flatMap(({ memory }) => memory ?? []);
  const portNames = new Set<string>();
  const settings = {
    restart: restarts[policy] ?? 'always',
    stopSeconds,
    security: security ?? {},
    volumes: new Set(volumes.map((volume) => volume.name)),
    portName: (wanted: string) => {
      let name = wanted;
      for (let next = 2; portNames.has(name); next++) name = `${wanted}-${next}`;
      portNames.add(name);
      return name;
    },
    hostNetwork: network === 'host',
    imageOf: (reference: string, container: string) => {
      try {
        return offered.find(reference, `pod ${name}, container ${container}`);
      } catch (error) {
        if (!isRefusal(error)) throw error;
        missing.push(error);
        return undefined;
      }
    },
  };
  // One after the other, each to its end; the containers start after the last one.
  let before: string | undefined;
  const first = fields.list('initContainers', (container) => {
    const read = container.has('restartPolicy')
      ? readContainer(besideOthers(container), { ...settings, restart: 'always', order: present(before) })
      : readContainer(container, { ...settings, order: { once: true, ...present(before) } });
    before = read?.name ?? before;
    return read;
  });
  const rest = fields.list('containers', (container) =>
    readContainer(container, { ...settings, order: present(before) }),
  );
  const containers = [...first, ...rest].filter((one): one is ReadContainer => one !== undefined);
  if (rest.length === 0) fields.findings.add(fields.at('containers'), 'the pod has none');
  const manifest = {
    apps: containers.map(({ app }) => app),
    volumes,
    ports: containers.flatMap(({ ports }) => ports),
  };
  return { manifest, network, memory };
}

/** An init container that keeps running, which Kubernetes calls a sidecar. */
function besideOthers(container: Fields): Fields {
  container.only('restartPolicy', 'Always');
  if (container.has('startupProbe')) {
    container.take('startupProbe');
    container.findings.add(
      container.at('startupProbe'),
      'no container waits for a probe of another; leave it out and let the others retry',
    );
  }
  return container;
}

function present(after: string | undefined): { readonly after?: string } {
  return after === undefined ? {} : { after };
}

function readPodSecurity(context: Fields) {
  // Both policies do the same to a new directory.
  context.only('fsGroupChangePolicy', 'Always', 'OnRootMismatch');
  const volumeGroup = context.count('fsGroup');
  const groups = context.counts('supplementalGroups') ?? [];
  const supplementaryGroups = volumeGroup === undefined ? groups : [...groups, volumeGroup];
  return { ...readSecurity(context), supplementaryGroups, volumeGroup };
}

/** An `emptyDir` on the disk of the device or in memory, or a `hostPath` that exists. */
function readVolume(fields: Fields, group: number | undefined) {
  const name = fields.string('name') ?? '';
  const source = fields.object('hostPath', (host) => {
    host.only('type', '', 'Directory', 'File');
    return host.string('path') ?? '';
  });
  if (source !== undefined) return { volume: { name, kind: 'host', source } };
  // As in Kubernetes, a volume without a source is an `emptyDir`.
  const size = fields.object('emptyDir', readMemorySize);
  if (fields.rest.length > 0) fields.findings.add(fields.path, 'expected emptyDir or hostPath');
  const owner = group === undefined ? { mode: '0777' } : { mode: '2777', gid: group };
  const volume = { name, kind: 'empty', ...owner };
  return size === undefined ? { volume } : { volume, memory: `${name}=${size}` };
}

/** The size of an `emptyDir` that is in memory. */
function readMemorySize(empty: Fields): string | undefined {
  const medium = empty.string('medium') ?? '';
  const isMemory = medium === 'Memory';
  if (!isMemory && medium !== '') empty.findings.add(empty.at('medium'), 'expected Memory or none');
  const size = empty.quantity('sizeLimit');
  if (isMemory && size === undefined) {
    empty.findings.add(empty.at('sizeLimit'), 'is missing; memory has a size, such as 64Mi');
  }
  if (!isMemory && size !== undefined) {
    empty.findings.add(
      empty.at('sizeLimit'),
      'an emptyDir on the disk has no limit; leave it out, or use the medium Memory',
    );
  }
  return isMemory ? size : undefined;
}
