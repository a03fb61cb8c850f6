import { annotations, userMap } from './annotations.ts';
import { app, appDraft, nameValueDraft, port, portDraft, unlessEmpty } from './app.ts';
import { pointerTo, quote, refuseFaults, SchemaFault } from './fault.ts';
import { absolutePath, Fields, integer, present, textThat, type Read } from './fields.ts';
import { acIdentifier, acName, imageId } from './identifiers.ts';
import { acKind } from './image-manifest.ts';
import { isolatorList } from './isolator-list.ts';
import { jsonText, type JsonDraft } from './json-text.ts';
import { parseJson, type JsonLimits } from './json.ts';
import { labels } from './labels.ts';
import type { Mount, PodApp, PodManifest, PodPort } from './types.ts';
import { acVersion } from './version.ts';
import { volume, volumeDraft } from './volume.ts';

/** A pod manifest is part of a message of at most 128 KiB. */
export const podManifestLimits: JsonLimits = { maxBytes: 128 << 10, maxDepth: 32, maxValues: 20_000 };

/**
 * The reified pod manifest in `bytes` (pods.md#pod-manifest-schema): every app names its image by
 * ID. Whether mounts have their volumes depends on the images and is checked by the pod's compiler.
 * @throws Refusal pod-manifest-invalid; the message has the JSON pointer of the value and what was
 *   expected
 */
export function parsePodManifest(bytes: Uint8Array): PodManifest {
  return refuseFaults('pod-manifest-invalid', 'pod manifest', () =>
    podManifest(parseJson(bytes, podManifestLimits), ''),
  );
}

/** `manifest` as JSON bytes: always the same for the same value. */
export function serializePodManifest(manifest: PodManifest): Uint8Array {
  return new TextEncoder().encode(
    jsonText({
      acVersion: manifest.acVersion,
      acKind: 'PodManifest',
      apps: manifest.apps.map(podAppDraft),
      volumes: unlessEmpty(manifest.volumes.map(volumeDraft)),
      isolators: unlessEmpty(manifest.isolators.map(nameValueDraft)),
      annotations: unlessEmpty(manifest.annotations.map(nameValueDraft)),
      ports: unlessEmpty(
        manifest.ports.map((exposed) => ({
          name: exposed.name,
          hostPort: exposed.hostPort,
          hostIP: exposed.hostIp,
          podPort: exposed.podPort === undefined ? undefined : portDraft(exposed.podPort),
        })),
      ),
      userAnnotations: manifest.userAnnotations,
      userLabels: manifest.userLabels,
    }),
  );
}

function podAppDraft(value: PodApp): JsonDraft {
  return {
    name: value.name,
    image: {
      id: value.image.id,
      name: value.image.name,
      labels: unlessEmpty(value.image.labels.map(nameValueDraft)),
    },
    app: value.app === undefined ? undefined : appDraft(value.app),
    readOnlyRootFS: value.readOnlyRootFs || undefined,
    mounts: unlessEmpty(
      value.mounts.map((mounted) => ({
        volume: mounted.volume,
        path: mounted.path,
        appVolume: mounted.appVolume === undefined ? undefined : volumeDraft(mounted.appVolume),
      })),
    ),
    annotations: unlessEmpty(value.annotations.map(nameValueDraft)),
  };
}

const byName = ({ name }: { readonly name: string }): string => name;

const podManifest: Read<PodManifest> = (value, at) => {
  const fields = new Fields(value, at, [
    'acVersion',
    'acKind',
    'apps',
    'volumes',
    'isolators',
    'annotations',
    'ports',
    'userAnnotations',
    'userLabels',
  ]);
  fields.required('acKind', acKind('PodManifest'));
  const manifest: PodManifest = {
    acVersion: fields.required('acVersion', acVersion),
    apps: fields.list('apps', podApp, { by: byName, what: 'app' }),
    volumes: fields.list('volumes', volume, { by: byName, what: 'volume' }),
    isolators: fields.optional('isolators', isolatorList('pod')) ?? [],
    annotations: fields.optional('annotations', annotations) ?? [],
    ports: fields.list('ports', podPort, { by: byName, what: 'port' }),
    ...present('userAnnotations', fields.optional('userAnnotations', userMap)),
    ...present('userLabels', fields.optional('userLabels', userMap)),
  };
  if (manifest.apps.length === 0) throw new SchemaFault(pointerTo(at, 'apps'), 'expected at least one app');
  refuseSharedPortNames(manifest.apps, at);
  return manifest;
};

const podApp: Read<PodApp> = (value, at) => {
  const fields = new Fields(value, at, ['name', 'image', 'app', 'readOnlyRootFS', 'mounts', 'annotations']);
  return {
    name: fields.required('name', acName),
    image: fields.required('image', podImage),
    ...present('app', fields.optional('app', app)),
    readOnlyRootFs: fields.flag('readOnlyRootFS'),
    mounts: fields.list('mounts', mount, { by: ({ path }) => path, what: 'mount path' }),
    annotations: fields.optional('annotations', annotations) ?? [],
  };
};

const podImage: Read<PodApp['image']> = (value, at) => {
  const fields = new Fields(value, at, ['id', 'name', 'labels']);
  if (!fields.has('id')) {
    throw new SchemaFault(
      at,
      'expected the "id" of the image: a pod manifest must be reified before it runs (pods.md)',
    );
  }
  return {
    id: fields.required('id', imageId),
    ...present('name', fields.optional('name', acIdentifier)),
    labels: fields.optional('labels', labels) ?? [],
  };
};

const mount: Read<Mount> = (value, at) => {
  const fields = new Fields(value, at, ['volume', 'path', 'appVolume']);
  return {
    volume: fields.required('volume', acName),
    path: fields.required('path', absolutePath),
    ...present('appVolume', fields.optional('appVolume', volume)),
  };
};

const podPort: Read<PodPort> = (value, at) => {
  const fields = new Fields(value, at, ['name', 'hostPort', 'hostIP', 'podPort']);
  return {
    name: fields.required('name', acName),
    hostPort: fields.required('hostPort', integer(1, 65535)),
    ...present('hostIp', fields.optional('hostIP', hostAddress)),
    ...present('podPort', fields.optional('podPort', port)),
  };
};

/** pods.md specifies IPv4 only. */
const hostAddress = textThat(
  (text): text is string => isIPv4(text) || isIPv6(text),
  'an IPv4 address such as "203.0.113.23", or an IPv6 address',
);

function isIPv4(text: string): boolean {
  return /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/.test(text);
}

function isIPv6(text: string): boolean {
  return /^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$/.test(text) && URL.canParse(`http://[${text}]/`);
}

/**
 * "Port names MUST be unique among apps within a pod", as far as the pod itself states the ports of
 * its apps.
 */
function refuseSharedPortNames(apps: readonly PodApp[], at: string): void {
  const owners = new Map<string, string>();
  for (const [index, { name, app: override }] of apps.entries()) {
    for (const { name: portName } of override?.ports ?? []) {
      const owner = owners.get(portName);
      if (owner !== undefined) {
        throw new SchemaFault(
          pointerTo(pointerTo(at, 'apps'), index),
          `the port ${quote(portName)} is there twice, in the app ${quote(owner)} too`,
        );
      }
      owners.set(portName, name);
    }
  }
}
