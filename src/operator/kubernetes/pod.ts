import { isAcIdentifier, type AcName } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { type OfferedImages, type ReifiedPod, reifyPod } from '../fleet/index.ts';
import { readContainer, type ReadContainer } from './container.ts';
import { Fields, Findings, type Value } from './fields.ts';
import { readSecurity } from './security.ts';

/** The restart policies of Kubernetes, as the annotation `wherry/restart`. */
const restarts: Readonly<Record<string, string>> = { Always: 'always', OnFailure: 'on-failure', Never: 'no' };

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
  const fields = new Fields(document as Value, '', findings);
  const kind = fields.string('kind');
  if (fields.string('apiVersion') !== 'v1' || kind !== 'Pod') {
    throw new Refusal(
      'input-invalid',
      `pod ${name}: expected apiVersion v1 and kind Pod, found kind ${JSON.stringify(kind ?? null)}; give the template of its pods as a Pod`,
    );
  }
  const about = fields.object('metadata', readMetadata) ?? { annotations: [], labels: {}, notes: {} };
  const draft = fields.object('spec', (spec) => readSpec(spec, name, offered));
  if (draft === undefined) findings.add('spec', 'is missing');
  // Written by the cluster.
  fields.take('status');
  fields.end();
  if (findings.lines.length > 0 || draft === undefined) {
    throw new Refusal(
      'input-invalid',
      `pod ${name}: ${findings.lines.length === 1 ? 'a field of the Pod has' : 'fields of the Pod have'} no meaning on a device: ${findings.lines.join('; ')}`,
    );
  }
  const named = about.annotations.some((annotation) => annotation.name === 'wherry/network');
  const manifest = {
    ...draft.manifest,
    annotations: [...(named ? [] : [{ name: 'wherry/network', value: draft.network }]), ...about.annotations],
    ...(Object.keys(about.labels).length === 0 ? {} : { userLabels: about.labels }),
    ...(Object.keys(about.notes).length === 0 ? {} : { userAnnotations: about.notes }),
  };
  return reifyPod(name, JSON.stringify(manifest), offered);
}

/** Annotations `wherry/…` have a meaning here; labels and other annotations are kept for people. */
function readMetadata(fields: Fields) {
  fields.take('name');
  fields.only('namespace', 'default');
  fields.only('creationTimestamp', null);
  const annotations = Object.entries(fields.texts('annotations'));
  const isOurs = ([key]: [string, string]) => key.startsWith('wherry/') && isAcIdentifier(key);
  return {
    annotations: annotations.filter(isOurs).map(([key, value]) => ({ name: key, value })),
    notes: Object.fromEntries(annotations.filter((one) => !isOurs(one))),
    labels: fields.texts('labels'),
  };
}

function readSpec(fields: Fields, name: string, offered: OfferedImages) {
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
  fields.only('dnsPolicy', 'ClusterFirst', 'Default');
  fields.only('automountServiceAccountToken', false);
  fields.only('enableServiceLinks', false);
  // The apps of a pod share a process namespace.
  fields.only('shareProcessNamespace', true);
  for (const namespace of ['hostPID', 'hostIPC']) fields.only(namespace, false);
  const security =
    fields.object('securityContext', (context) => {
      const supplementaryGroups = context.counts('supplementalGroups');
      return { ...readSecurity(context), ...(supplementaryGroups && { supplementaryGroups }) };
    }) ?? {};
  const volumes = fields.list('volumes', readVolume);
  const settings = {
    restart: restarts[policy] ?? 'always',
    stopSeconds,
    security,
    volumes: new Set(volumes.map((volume) => volume.name)),
    imageOf: (reference: string, container: string) =>
      offered.find(reference, `pod ${name}, container ${container}`),
  };
  // One after the other, each to its end; the containers start after the last one.
  let before: string | undefined;
  const first = fields.list('initContainers', (container) => {
    const read = readContainer(container, { ...settings, order: { once: true, ...present(before) } });
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
  return { manifest, network };
}

function present(after: string | undefined): { readonly after?: string } {
  return after === undefined ? {} : { after };
}

/** An `emptyDir` on the disk of the device, or a `hostPath` that exists. */
function readVolume(fields: Fields) {
  const name = fields.string('name') ?? '';
  const hostPath = fields.object('hostPath', (host) => {
    host.only('type', '', 'Directory', 'File');
    return host.string('path') ?? '';
  });
  if (hostPath !== undefined) return { name, kind: 'host', source: hostPath };
  if (fields.has('emptyDir')) {
    fields.object('emptyDir', (empty) => empty.only('medium', ''));
    return { name, kind: 'empty', mode: '0777' };
  }
  fields.findings.add(fields.path, 'expected emptyDir or hostPath');
  return { name, kind: 'empty' };
}
